//! How far a message's body goes (RFC 9112 §6.3).

use super::head::Method;

/// Where a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// There is none.
    Empty,
    /// After so many bytes, at least one.
    Length(u64),
    /// With its last chunk and trailers.
    Chunked,
    /// With the stream; responses only.
    UntilClose,
    /// What follows is another protocol; responses only.
    Upgraded,
    /// The head contradicts itself. Servers answer such a request with 400 and close.
    Unknown,
}

/// What `Content-Length` and `Transfer-Encoding` said so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Framing {
    length: Option<u64>,
    contradicted: bool,
    /// The last transfer coding named, `identity` aside, and whether it is `chunked`.
    chunked: Option<bool>,
}

impl Framing {
    /// A `Content-Length`; a repeated one is fine while it says the same.
    pub(super) fn content_length(&mut self, value: &[u8]) {
        for item in value.split(|byte| *byte == b',') {
            let length = decimal(item.trim_ascii());
            self.contradicted |= length.is_none() || self.length.is_some_and(|l| Some(l) != length);
            self.length = self.length.or(length);
        }
    }

    /// A `Transfer-Encoding`, maybe one of several: the last coding named decides.
    pub(super) fn transfer_encoding(&mut self, value: &[u8]) {
        for coding in value.split(|byte| *byte == b',') {
            let coding = coding.trim_ascii();
            if !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity") {
                self.chunked = Some(coding.eq_ignore_ascii_case(b"chunked"));
            }
        }
    }

    /// The extent of a request.
    pub(super) fn request(self) -> Extent {
        match (self.chunked, self.contradicted, self.length) {
            (Some(true), ..) => Extent::Chunked,
            (Some(false), ..) | (None, true, _) => Extent::Unknown,
            (None, false, None | Some(0)) => Extent::Empty,
            (None, false, Some(length)) => Extent::Length(length),
        }
    }

    /// The extent of the response with `status` to a request with `method`.
    pub(super) fn response(self, method: Method, status: u16) -> Extent {
        match (method, status) {
            (_, 101) | (Method::Connect, 200..=299) => return Extent::Upgraded,
            (_, 100..=199 | 204 | 304) | (Method::Head, _) => return Extent::Empty,
            _ => {}
        }
        match (self.chunked, self.contradicted, self.length) {
            (Some(true), ..) => Extent::Chunked,
            (Some(false), ..) | (None, false, None) => Extent::UntilClose,
            (None, true, _) => Extent::Unknown,
            (None, false, Some(0)) => Extent::Empty,
            (None, false, Some(length)) => Extent::Length(length),
        }
    }
}

/// Digits only; `None` for everything else and for what no counter can hold.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(lengths: &[&str], codings: &[&str]) -> Framing {
        let mut framing = Framing::default();
        for value in lengths {
            framing.content_length(value.as_bytes());
        }
        for value in codings {
            framing.transfer_encoding(value.as_bytes());
        }
        framing
    }

    #[test]
    fn a_request_ends_where_servers_end_it() {
        let rows: &[(&[&str], &[&str], Extent)] = &[
            (&[], &[], Extent::Empty),
            (&["0"], &[], Extent::Empty),
            (&["5"], &[], Extent::Length(5)),
            (&["5", "5"], &[], Extent::Length(5)),
            (&["5, 5"], &[], Extent::Length(5)),
            (&["\r\n 5"], &[], Extent::Length(5)),
            (&["5", "6"], &[], Extent::Unknown),
            (&["+5"], &[], Extent::Unknown),
            (&["-1"], &[], Extent::Unknown),
            (&[""], &[], Extent::Unknown),
            (&["99999999999999999999"], &[], Extent::Unknown),
            (&["5"], &["chunked"], Extent::Chunked),
            (&[], &["gzip", "Chunked"], Extent::Chunked),
            (&[], &["gzip,\r\n chunked"], Extent::Chunked),
            (&[], &["chunked, gzip"], Extent::Unknown),
            (&["5"], &["identity"], Extent::Length(5)),
        ];
        for (lengths, codings, expected) in rows {
            let extent = framing(lengths, codings).request();
            assert_eq!(extent, *expected, "{lengths:?} {codings:?}");
        }
    }

    #[test]
    fn a_response_ends_where_its_request_and_status_say() {
        let length = framing(&["5"], &[]);
        let chunked = framing(&[], &["chunked"]);
        let rows = [
            (length, Method::Other, 200, Extent::Length(5)),
            (length, Method::Head, 200, Extent::Empty),
            (length, Method::Other, 304, Extent::Empty),
            (chunked, Method::Other, 204, Extent::Empty),
            (chunked, Method::Other, 200, Extent::Chunked),
            (length, Method::Other, 100, Extent::Empty),
            (length, Method::Other, 101, Extent::Upgraded),
            (length, Method::Connect, 200, Extent::Upgraded),
            (length, Method::Connect, 407, Extent::Length(5)),
            (framing(&[], &[]), Method::Other, 200, Extent::UntilClose),
            (
                framing(&[], &["gzip"]),
                Method::Other,
                200,
                Extent::UntilClose,
            ),
            (
                framing(&["1", "2"], &[]),
                Method::Other,
                200,
                Extent::Unknown,
            ),
        ];
        for (framing, method, status, expected) in rows {
            let extent = framing.response(method, status);
            assert_eq!(extent, expected, "{method:?} {status}");
        }
    }
}
