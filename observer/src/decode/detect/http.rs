//! HTTP/1 (RFC 9112, sections 3 and 4) and the preface of HTTP/2 (RFC 9113, section 3.4).

use observer_ebpf::Protocol;

use super::{Compared, Front as _, Guess, compare};
use crate::decode::Side;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Methods that need no version in sight: RFC 9110, section 9.3, and PATCH (RFC 5789).
const METHODS: [&[u8]; 9] = [
    b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"PATCH", b"OPTIONS", b"CONNECT", b"TRACE",
];

/// Longest method that is waited for.
const LONGEST_METHOD: usize = 32;

/// Guesses.
pub(super) fn guess(first: &[u8]) -> Guess {
    match compare(first, PREFACE) {
        Compared::Whole => return Guess::Found(Protocol::Http2, Some(Side::Client)),
        Compared::SoFar => return Guess::Undecided,
        Compared::Different => {}
    }
    if let guess @ (Guess::Found(..) | Guess::Undecided) = settings(first) {
        return guess;
    }
    match compare(first, b"HTTP/1.") {
        Compared::Whole => status_line(first.get(7..).unwrap_or_default()),
        Compared::SoFar => Guess::Undecided,
        Compared::Different => request_line(first),
    }
}

/// A server's preface: a SETTINGS frame on stream 0 (RFC 9113, section 6.5), settings of six bytes.
fn settings(first: &[u8]) -> Guess {
    let form = |at: usize, byte: u8| first.get(at).is_none_or(|b| *b == byte);
    let plain = form(0, 0) && form(1, 0) && (3..9).all(|at| form(at, if at == 3 { 4 } else { 0 }));
    let length = first.get(2).is_none_or(|length| length % 6 == 0);
    // The identifier of the first setting.
    let identifier = match (first.get(2), first.u16_at(9)) {
        (Some(1..), Some(identifier)) => (1..=9).contains(&identifier),
        _ => true,
    };
    // The next frame's type: on a connection's first frames never DATA.
    let next = 9 + usize::from(first.get(2).copied().unwrap_or(0)) + 3;
    let next = first.get(next).is_none_or(|kind| (1..=9).contains(kind));
    let seen = if first.get(2) == Some(&0) { 9 } else { 11 };
    match plain && length && identifier && next {
        false => Guess::Other,
        true if first.len() < seen => Guess::Undecided,
        true => Guess::Found(Protocol::Http2, Some(Side::Server)),
    }
}

/// What follows `HTTP/1.`: a digit, a space, three digits, and a space or the line's end.
fn status_line(rest: &[u8]) -> Guess {
    let forms: [fn(&u8) -> bool; 6] = [
        |b| matches!(b, b'0' | b'1'),
        |b| *b == b' ',
        |b| (b'1'..=b'9').contains(b),
        u8::is_ascii_digit,
        u8::is_ascii_digit,
        |b| matches!(b, b' ' | b'\r' | b'\n'),
    ];
    if !rest.iter().zip(forms).all(|(byte, form)| form(byte)) {
        Guess::Other
    } else if rest.len() < forms.len() {
        Guess::Undecided
    } else {
        Guess::Found(Protocol::Http1, Some(Side::Server))
    }
}

/// `method SP target SP HTTP/1.x CR LF`.
fn request_line(first: &[u8]) -> Guess {
    let is_method = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    let Some(end) = first.iter().position(|byte| !is_method(byte)) else {
        return if first.len() <= LONGEST_METHOD {
            Guess::Undecided
        } else {
            Guess::Other
        };
    };
    let (method, rest) = first.split_at(end);
    let [b' ', target @ ..] = rest else {
        return Guess::Other;
    };
    if !(1..=LONGEST_METHOD).contains(&method.len()) {
        return Guess::Other;
    }
    let end = target.iter().position(|byte| !byte.is_ascii_graphic());
    let (target, behind) = target.split_at(end.unwrap_or(target.len()));
    let known = METHODS.contains(&method);
    if !target_fits(method, target) {
        return Guess::Other;
    }
    match behind {
        // All that is in sight is the target, and the target is longer than what can be seen.
        [] if known && first.len() >= super::ENOUGH => {
            Guess::Found(Protocol::Http1, Some(Side::Client))
        }
        [] => Guess::Undecided,
        [b' ', version @ ..] if !target.is_empty() => match compare(version, b"HTTP/1.") {
            Compared::Whole => match version.get(7) {
                None => Guess::Undecided,
                Some(b'0' | b'1') => Guess::Found(Protocol::Http1, Some(Side::Client)),
                Some(_) => Guess::Other,
            },
            Compared::SoFar if known && first.len() >= super::ENOUGH => {
                Guess::Found(Protocol::Http1, Some(Side::Client))
            }
            Compared::SoFar => Guess::Undecided,
            Compared::Different => Guess::Other,
        },
        _ => Guess::Other,
    }
}

/// The four forms of a target: a path, a URL, `*`, and for CONNECT an authority.
fn target_fits(method: &[u8], target: &[u8]) -> bool {
    let begins = |form: &[u8]| compare(target, form) != Compared::Different;
    begins(b"/")
        || begins(b"http://")
        || begins(b"https://")
        || (method == b"OPTIONS" && (target == b"*"))
        || (method == b"CONNECT" && target.iter().all(|b| !matches!(b, b'/' | b'?' | b'@')))
}
