//! Start lines and field lines of a head, byte by byte what RFC 9112 allows and servers accept.
//!
//! One scanner for every head, whole or held back, so that where a peer's writes were cut can
//! never change what was said. Lines may end in a bare LF (RFC 9112 §2.2) and field values may be
//! folded (§5.2); field lines without a colon are passed over, since a server that minds answers
//! with a 400, which is an exchange like any other.

use memchr::{memchr, memrchr};

use super::head::Method;

/// Longest method that is taken for one; servers allow fewer.
const METHOD_LIMIT: usize = 64;

/// A start line is incomplete, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// As far as it goes it may be one.
    Partial,
    /// It is none, whatever follows.
    Invalid,
}

/// `method SP target SP HTTP/1.x`, and where the line after it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    pub(crate) length: usize,
}

/// Reads a request line (RFC 9112 §3). `strict` is for bytes that may be anything: there a line
/// whose beginning was cut off (`ET / HTTP/1.1`) must not pass.
pub(crate) fn request_line(bytes: &[u8], strict: bool) -> Result<RequestLine<'_>, Unread> {
    let method = method(bytes)?;
    let known = Method::of(method);
    if strict && known == Method::Other && Method::is_cut(method) {
        return Err(Unread::Invalid);
    }
    let (line, length) = line(bytes).ok_or(Unread::Partial)?;
    let rest = line.get(method.len() + 1..).ok_or(Unread::Invalid)?;
    let space = memrchr(b' ', rest).ok_or(Unread::Invalid)?;
    let (target, version) = rest.split_at(space);
    let form = match target {
        [b'/', ..] | b"*" => true,
        [] => false,
        _ => !strict || known == Method::Connect || target.starts_with(b"http"),
    };
    match version {
        [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] if form => Ok(RequestLine {
            method,
            target,
            length,
        }),
        _ => Err(Unread::Invalid),
    }
}

/// The token before the first space.
fn method(bytes: &[u8]) -> Result<&[u8], Unread> {
    let start = bytes.get(..METHOD_LIMIT).unwrap_or(bytes);
    match start.iter().position(|byte| !is_token(*byte)) {
        Some(end @ 1..) if start.get(end) == Some(&b' ') => start.get(..end).ok_or(Unread::Invalid),
        None if start.len() < METHOD_LIMIT => Err(Unread::Partial),
        _ => Err(Unread::Invalid),
    }
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `HTTP/1.x SP status`, and where the line after it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusLine {
    pub(super) status: u16,
    pub(super) length: usize,
}

/// Reads a status line (RFC 9112 §4). The reason may be missing, its space too.
pub(super) fn status_line(bytes: &[u8]) -> Result<StatusLine, Unread> {
    const SHAPE: &[u8; 12] = b"HTTP/1.0 000";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    };
    if !bytes.iter().zip(SHAPE).all(fits) {
        return Err(Unread::Invalid);
    }
    let digits = bytes.get(9..12).ok_or(Unread::Partial)?;
    let status = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match bytes.get(12) {
        None => return Err(Unread::Partial),
        Some(b' ' | b'\r' | b'\n') if status >= 100 => {}
        Some(_) => return Err(Unread::Invalid),
    }
    let (_, length) = line(bytes).ok_or(Unread::Partial)?;
    Ok(StatusLine { status, length })
}

/// The first line without its end, and its length with it.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr(b'\n', bytes)?;
    let line = bytes.get(..end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

/// Visits every field line from `start` on; where the head ends, if it does.
///
/// A folded value is visited once, with its line ends in it.
pub(crate) fn fields<'a>(
    bytes: &'a [u8],
    start: usize,
    visit: &mut impl FnMut(&'a [u8], &'a [u8]),
) -> Option<usize> {
    let mut at = start;
    loop {
        let rest = bytes.get(at..)?;
        match rest {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
        let mut end = memchr(b'\n', rest)?;
        while let [b' ' | b'\t', folded @ ..] = rest.get(end + 1..)? {
            end += 2 + memchr(b'\n', folded)?;
        }
        let field = rest.get(..end)?;
        if let Some(colon) = memchr(b':', field) {
            let (name, value) = field.split_at(colon);
            visit(name, value.get(1..)?.trim_ascii());
        }
        at += end + 1;
    }
}

/// Where a head ends that does not end before `from`: behind its first empty line.
pub(crate) fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let line_end = at + memchr(b'\n', bytes.get(at..)?)?;
        match bytes.get(line_end + 1..)? {
            [b'\n', ..] => return Some(line_end + 2),
            [b'\r', b'\n', ..] => return Some(line_end + 3),
            _ => at = line_end + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_is_read_refused_or_waited_for() {
        type Row = (
            &'static str,
            bool,
            Result<(&'static str, &'static str), Unread>,
        );
        let rows: &[Row] = &[
            ("GET / HTTP/1.1\r\n", true, Ok(("GET", "/"))),
            ("GET /a b HTTP/1.1\n", true, Ok(("GET", "/a b"))),
            ("OPTIONS * HTTP/1.0\r\n", true, Ok(("OPTIONS", "*"))),
            (
                "GET http://a/b HTTP/1.1\r\n",
                true,
                Ok(("GET", "http://a/b")),
            ),
            ("CONNECT a:1 HTTP/1.1\r\n", true, Ok(("CONNECT", "a:1"))),
            ("BREW /pot HTTP/1.1\r\n", true, Ok(("BREW", "/pot"))),
            ("ET / HTTP/1.1\r\n", false, Ok(("ET", "/"))),
            ("ET / HTTP/1.1\r\n", true, Err(Unread::Invalid)),
            ("get / HTTP/1.1\r\n", true, Err(Unread::Invalid)),
            ("POS", true, Err(Unread::Partial)),
            ("GET / HTTP/1.1", true, Err(Unread::Partial)),
            ("GET / HTTP/2.0\r\n", false, Err(Unread::Invalid)),
            ("GET /\r\n", false, Err(Unread::Invalid)),
            (" / HTTP/1.1\r\n", false, Err(Unread::Invalid)),
            ("{\"a\": 1}\n", false, Err(Unread::Invalid)),
            ("GET  HTTP/1.1\r\n", false, Err(Unread::Invalid)),
        ];
        for (text, strict, expected) in rows {
            let read = request_line(text.as_bytes(), *strict);
            let read = read.map(|line| {
                assert_eq!(line.length, text.len());
                (
                    std::str::from_utf8(line.method).unwrap(),
                    std::str::from_utf8(line.target).unwrap(),
                )
            });
            assert_eq!(read, *expected, "{text:?}");
        }
    }

    #[test]
    fn a_status_line_is_read_refused_or_waited_for() {
        let rows: &[(&str, Result<u16, Unread>)] = &[
            ("HTTP/1.1 200 OK\r\n", Ok(200)),
            ("HTTP/1.0 404\n", Ok(404)),
            ("HTTP/1.1 999 \r\n", Ok(999)),
            ("HTTP/1.1 20", Err(Unread::Partial)),
            ("HTTP/1.1 200 OK", Err(Unread::Partial)),
            ("HTTP/1.1 2000\r\n", Err(Unread::Invalid)),
            ("HTTP/1.1 099 \r\n", Err(Unread::Invalid)),
            ("TTP/1.1 200 OK\r\n", Err(Unread::Invalid)),
            ("HTTP/2 200 OK\r\n", Err(Unread::Invalid)),
        ];
        for (text, expected) in rows {
            let read = status_line(text.as_bytes()).map(|line| line.status);
            assert_eq!(read, *expected, "{text:?}");
        }
    }

    #[test]
    fn both_ways_to_find_the_end_of_a_head_agree() {
        let heads = [
            "a: b\r\n\r\nrest",
            "a: b\n\nrest",
            "a: b\r\n c\r\n\td\r\nno colon\r\n\r\n",
            "\r\nrest",
            "a: b\r\n",
            "a: b\r\n\r",
            "a\rb: c\n\r\n",
        ];
        for head in heads {
            let bytes = format!("GET / HTTP/1.1\r\n{head}").into_bytes();
            let fields = fields(&bytes, 16, &mut |_, _| {});
            assert_eq!(fields, end_of_head(&bytes, 0), "{head:?}");
        }
    }

    #[test]
    fn a_folded_value_is_one_value() {
        let mut seen = Vec::new();
        fields(b"a: b\r\n  c\r\nd:e\r\n\r\n", 0, &mut |name, value| {
            seen.push((name.to_vec(), value.to_vec()));
        });
        let expected: Vec<(Vec<u8>, Vec<u8>)> = vec![
            (b"a".into(), b"b\r\n  c".into()),
            (b"d".into(), b"e".into()),
        ];
        assert_eq!(seen, expected);
    }
}
