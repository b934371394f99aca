//! Heads of messages: what is read of them, and nothing else.

use std::fmt;

use memchr::{memchr, memchr2, memmem};

use super::framing::{Extent, Framing};
use super::lines::{self, Unread};

/// A request's head. Everything borrows from the input or from what was held back of it; the
/// fields not named here, credentials among them, are passed over, and only the one that
/// [`RequestHead::field`] is asked for is ever looked at again.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// As sent.
    pub method: &'a [u8],
    /// Without query, as sent; for CONNECT empty, and `/` where an absolute target has none.
    pub path: &'a [u8],
    /// Without `?`; may hold personal data.
    pub query: &'a [u8],
    /// An absolute target's or CONNECT's authority, else the first `Host`.
    pub host: &'a [u8],
    /// The first `X-Forwarded-Host`.
    pub forwarded_host: &'a [u8],
    /// The first `X-Shop-Subdomain`.
    pub shop_subdomain: &'a [u8],
    /// The body is JSON in no content coding.
    pub json: bool,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// It asks for another protocol.
    pub upgrade: bool,
    /// How far its body goes.
    pub extent: Extent,
    /// The head's bytes.
    pub size: u64,
    /// Its field lines.
    fields: &'a [u8],
}

/// Values that identify a route or a shop only; never a query.
impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &String::from_utf8_lossy(self.method))
            .field("path", &String::from_utf8_lossy(self.path))
            .field("host", &String::from_utf8_lossy(self.host))
            .field("extent", &self.extent)
            .finish_non_exhaustive()
    }
}

/// A response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 999. Below 200, 101 aside, it is interim: the response is still to come.
    pub status: u16,
    /// The body is JSON in no content coding.
    pub json: bool,
    /// The switch it agrees to, if it does, is one to HTTP/2 (RFC 7540 §3.2).
    pub http2: bool,
    /// How far its body goes.
    pub extent: Extent,
    /// The head's bytes.
    pub size: u64,
}

impl ResponseHead {
    /// Whether the response proper is still to come (RFC 9110 §15.2).
    #[must_use]
    pub fn interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// What of a method decides how far its response goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Connect,
    /// One of [`METHODS`] whose responses are ordinary.
    Known,
    Other,
}

/// Of RFC 9110, RFC 5789 and the extensions that servers know.
const METHODS: [&[u8]; 23] = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"SEARCH",
    b"REPORT",
    b"PURGE",
    b"QUERY",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"NOTIFY",
];

/// Whether a method is one of those that servers know.
pub(crate) fn is_known(method: &[u8]) -> bool {
    METHODS.contains(&method)
}

impl Method {
    pub(super) fn of(method: &[u8]) -> Self {
        match method {
            b"GET" | b"POST" => Self::Known,
            b"HEAD" => Self::Head,
            b"CONNECT" => Self::Connect,
            _ if METHODS.contains(&method) => Self::Known,
            _ => Self::Other,
        }
    }

    /// Whether this may be the end of a known method whose beginning was cut off, or no method at
    /// all: methods are case-sensitive, and all that are in use are in upper case.
    pub(super) fn is_cut(method: &[u8]) -> bool {
        let upper = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
        !method.iter().all(upper) || METHODS.iter().any(|known| known.ends_with(method))
    }
}

impl<'a> RequestHead<'a> {
    /// Reads the head that `bytes` begin with; `strict` as in [`lines::request_line`].
    pub(super) fn read(bytes: &'a [u8], strict: bool) -> Result<Self, Unread> {
        let line = lines::request_line(bytes, strict)?;
        let mut head = Self {
            method: line.method,
            path: &[],
            query: &[],
            host: &[],
            forwarded_host: &[],
            shop_subdomain: &[],
            json: false,
            expects_continue: false,
            upgrade: false,
            extent: Extent::Empty,
            size: 0,
            fields: &[],
        };
        let mut framing = Framing::default();
        let mut content = Content::default();
        let end = lines::fields(bytes, line.length, &mut |name, value| match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => keep(&mut head.host, value),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                head.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => head.upgrade = true,
            16 if name.eq_ignore_ascii_case(b"x-forwarded-host") => {
                keep(&mut head.forwarded_host, value);
            }
            16 if name.eq_ignore_ascii_case(b"x-shop-subdomain") => {
                keep(&mut head.shop_subdomain, value);
            }
            _ => content.visit(name, value, &mut framing),
        });
        let end = end.ok_or(Unread::Partial)?;
        head.size = end as u64;
        head.fields = bytes.get(line.length..end).unwrap_or_default();
        head.json = content.json && !content.coded;
        head.extent = framing.request();
        head.target(line.target);
        Ok(head)
    }

    /// The value of the first field of this name, empty where there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &'a [u8] {
        let mut found: &[u8] = &[];
        lines::fields(self.fields, 0, &mut |known, value| {
            if known.eq_ignore_ascii_case(name.as_bytes()) {
                keep(&mut found, value);
            }
        });
        found
    }

    /// The four forms of a target (RFC 9112 §3.2).
    fn target(&mut self, target: &'a [u8]) {
        if self.method == b"CONNECT" {
            self.host = target;
            return;
        }
        let mut target = target;
        if !target.starts_with(b"/")
            && let Some(scheme) = memmem::find(target, b"://")
        {
            let rest = target.get(scheme + 3..).unwrap_or_default();
            let end = memchr2(b'/', b'?', rest).unwrap_or(rest.len());
            (self.host, target) = rest.split_at(end);
        }
        let end = memchr(b'?', target).unwrap_or(target.len());
        let (path, query) = target.split_at(end);
        self.path = if path.is_empty() { b"/" } else { path };
        self.query = query.get(1..).unwrap_or_default();
    }
}

impl ResponseHead {
    /// Reads the head that `bytes` begin with, as the answer to a request with `method`.
    pub(super) fn read(bytes: &[u8], method: Method) -> Result<Self, Unread> {
        let line = lines::status_line(bytes)?;
        let mut framing = Framing::default();
        let mut content = Content::default();
        let mut http2 = false;
        let end = lines::fields(bytes, line.length, &mut |name, value| match name.len() {
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                http2 |= value.eq_ignore_ascii_case(b"h2c");
            }
            _ => content.visit(name, value, &mut framing),
        });
        Ok(Self {
            status: line.status,
            json: content.json && !content.coded,
            http2: http2 && line.status == 101,
            extent: framing.response(method, line.status),
            size: end.ok_or(Unread::Partial)? as u64,
        })
    }
}

/// What the fields that requests and responses share say of the body.
#[derive(Default)]
struct Content {
    json: bool,
    coded: bool,
}

impl Content {
    fn visit(&mut self, name: &[u8], value: &[u8], framing: &mut Framing) {
        match name.len() {
            12 if name.eq_ignore_ascii_case(b"content-type") => self.json = is_json(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => framing.content_length(value),
            16 if name.eq_ignore_ascii_case(b"content-encoding") => {
                self.coded = !value.eq_ignore_ascii_case(b"identity");
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                framing.transfer_encoding(value);
            }
            _ => {}
        }
    }
}

/// `application/json` or a structured suffix of it (RFC 6839 §3.1), parameters aside.
fn is_json(value: &[u8]) -> bool {
    let end = memchr(b';', value).unwrap_or(value.len());
    let media = value.get(..end).unwrap_or_default().trim_ascii();
    let suffix = media.len().checked_sub(5).and_then(|at| media.get(at..));
    media.eq_ignore_ascii_case(b"application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

fn keep<'a>(slot: &mut &'a [u8], value: &'a [u8]) {
    if slot.is_empty() {
        *slot = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> RequestHead<'_> {
        RequestHead::read(text.as_bytes(), false).unwrap()
    }

    #[test]
    fn a_target_in_each_of_its_forms_gives_path_query_and_host() {
        let rows = [
            ("GET /a?b=c?d", "/a", "b=c?d", "h"),
            ("GET /?", "/", "", "h"),
            ("GET http://x:1/a?b", "/a", "b", "x:1"),
            ("GET http://x?b", "/", "b", "x"),
            ("GET /to?u=http://x/", "/to", "u=http://x/", "h"),
            ("OPTIONS *", "*", "", "h"),
            ("CONNECT x:443", "", "", "x:443"),
        ];
        for (start, path, query, host) in rows {
            let text = format!("{start} HTTP/1.1\r\nhost: h\r\n\r\n");
            let head = read(&text);
            let expected = (path.as_bytes(), query.as_bytes(), host.as_bytes());
            assert_eq!((head.path, head.query, head.host), expected, "{start}");
        }
    }

    #[test]
    fn a_field_is_the_first_of_its_name_and_of_this_head_only() {
        let head = read("GET / HTTP/1.1\r\nX-A:\r\nx-a: 1\r\nX-A: 2\r\n\r\nX-B: 3\r\n\r\n");
        assert_eq!(head.field("X-A"), b"1");
        assert_eq!(head.field("x-b"), b"");
    }

    #[test]
    fn json_in_a_content_coding_is_not_offered_as_json() {
        let rows = [
            ("Content-Type: application/json; charset=utf-8", true),
            ("content-type:application/graphql-response+JSON", true),
            ("Content-Type: application/jsonx", false),
            (
                "Content-Type: application/json\r\nContent-Encoding: gzip",
                false,
            ),
        ];
        for (fields, json) in rows {
            let text = format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
            assert_eq!(read(&text).json, json, "{fields}");
        }
    }

    #[test]
    fn a_switch_to_http2_is_told_from_any_other() {
        let rows = [
            ("101 Switching Protocols\r\nUpgrade: h2c", true),
            ("101 Switching Protocols\r\nupgrade: H2C", true),
            ("101 Switching Protocols\r\nUpgrade: websocket", false),
            ("101 Switching Protocols\r\nX: h2c", false),
            ("426 Upgrade Required\r\nUpgrade: h2c", false),
        ];
        for (text, http2) in rows {
            let text = format!("HTTP/1.1 {text}\r\n\r\n");
            let head = ResponseHead::read(text.as_bytes(), Method::Known).unwrap();
            assert_eq!(head.http2, http2, "{text}");
        }
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let text = "GET /p?token=s3cret HTTP/1.1\r\nHost: h\r\nAuthorization: s3cret\r\n\
                    Cookie: s3cret\r\n\r\n";
        let shown = format!("{:?}", read(text));
        assert!(shown.contains("/p") && !shown.contains("s3cret"), "{shown}");
    }

    /// The big thing agrees with the small thing on everything both accept.
    #[test]
    fn httparse_reads_the_same_start_and_the_same_end() {
        let texts = [
            "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\nrest",
            "POST /x?y HTTP/1.0\nContent-Length: 3\n\nabc",
            "PATCH /\u{e9} HTTP/1.1\r\nX: \u{fc}\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ];
        for text in texts {
            let mut fields = [httparse::EMPTY_HEADER; 16];
            let mut oracle = httparse::Request::new(&mut fields);
            let size = oracle.parse(text.as_bytes()).unwrap().unwrap();
            let head = read(text);
            assert_eq!(head.size, size as u64, "{text:?}");
            assert_eq!(head.method, oracle.method.unwrap().as_bytes());
        }
    }
}
