//! Which protocol a turn begins with, from its first 16 bytes.
//!
//! The bytes are looked at eight at a time, by arithmetic: a loop over them would be a few lines
//! less here and half a million steps more for the kernel's verifier.
#![expect(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    reason = "part of a kernel program: a few instructions each, on bytes cut out of words"
)]

use crate::Protocol;

/// `low` holds the first eight bytes, the first of them lowest, `high` the next eight; zero behind
/// the segment's end.
///
/// [`Protocol::Undecided`] where it is none that is known. A guess: whoever decodes knows better.
#[inline(always)]
#[must_use]
pub fn recognise(low: u64, high: u64) -> Protocol {
    if is_tls(low) {
        Protocol::Tls
    } else if starts(low, b"PRI * HT") {
        Protocol::Http2
    } else if is_http1(low, high) {
        Protocol::Http1
    } else if is_redis(low, high) {
        Protocol::Redis
    } else if is_postgres(low) {
        Protocol::Postgres
    } else {
        Protocol::Undecided
    }
}

/// Whether the first `N` bytes, at most eight, are these.
#[inline(always)]
fn starts<const N: usize>(low: u64, prefix: &[u8; N]) -> bool {
    let (mut expected, mut mask) = (0, 0);
    for (index, byte) in prefix.iter().enumerate() {
        expected |= u64::from(*byte) << (index * 8);
        mask |= 0xff << (index * 8);
    }
    low & mask == expected
}

#[inline(always)]
const fn byte(low: u64, index: u32) -> u8 {
    (low >> (index * 8)) as u8
}

/// A handshake record that begins with a hello (RFC 8446 section 5.1), or application data.
#[inline(always)]
fn is_tls(low: u64) -> bool {
    let hello = byte(low, 0) == 22 && byte(low, 2) <= 4 && matches!(byte(low, 5), 1 | 2);
    let data = byte(low, 0) == 23 && byte(low, 2) == 3;
    byte(low, 1) == 3 && (hello || data)
}

/// A handshake record that begins with a client's hello, whose bytes name the server it asks for.
#[inline(always)]
#[must_use]
pub const fn is_client_hello(low: u64) -> bool {
    byte(low, 0) == 22 && byte(low, 1) == 3 && byte(low, 5) == 1
}

/// A request line or a status line (RFC 9112 sections 3 and 4).
#[inline(always)]
fn is_http1(low: u64, high: u64) -> bool {
    starts(low, b"HTTP/1.")
        || starts(low, b"GET ") && is_target(byte(low, 4))
        || starts(low, b"POST ") && is_target(byte(low, 5))
        || starts(low, b"PUT ") && is_target(byte(low, 4))
        || starts(low, b"HEAD ") && is_target(byte(low, 5))
        || starts(low, b"PATCH ") && is_target(byte(low, 6))
        || starts(low, b"DELETE ") && is_target(byte(low, 7))
        || starts(low, b"OPTIONS ") && is_target(byte(high, 0))
        || starts(low, b"TRACE ") && is_target(byte(low, 6))
        || starts(low, b"CONNECT ")
}

#[inline(always)]
fn is_target(byte: u8) -> bool {
    matches!(byte, b'/' | b'*' | b'h' | b'H')
}

/// The lowest bit of each byte.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte.
const TOPS: u64 = 0x8080_8080_8080_8080;

/// An array, a map, a bulk string, an integer or a short status (RESP2 and RESP3).
#[inline(always)]
fn is_redis(low: u64, high: u64) -> bool {
    // The bytes behind the type byte.
    let text = low >> 8 | high << 56;
    match byte(low, 0) {
        b'*' | b'$' | b':' | b'%' | b'~' | b'>' => {
            starts(text, b"-1\r\n") || ends_run(text, outside(text, b'0', 10), b'\r', 1)
        }
        b'+' => ends_run(text, outside(text, b'A', 26), b'\r', 2),
        b'-' => ends_run(text, outside(text, b'A', 26), b' ', 2),
        b'_' => starts(text, b"\r\n"),
        _ => false,
    }
}

/// The highest bit of each byte that is not one of the `count` from `first`; exact for ASCII, and
/// other bytes are outside.
#[inline(always)]
const fn outside(text: u64, first: u8, count: u8) -> u64 {
    let ascii = text & !TOPS;
    let above = ascii + ONES * (0x80 - first as u64 - count as u64);
    let from = ascii + ONES * (0x80 - first as u64);
    (text | above | !from) & TOPS
}

/// Whether a run of at least `least` bytes ends, at the first marked one, with `end`; or fills all
/// eight.
#[inline(always)]
const fn ends_run(text: u64, marked: u64, end: u8, least: u32) -> bool {
    let first = marked & marked.wrapping_neg();
    let differs = text ^ (ONES * end as u64);
    // All bits of the byte whose highest bit is `first`.
    let there = first | (first - (first >> 7));
    marked == 0 || (first >= 0x80 << (least * 8) && differs & there == 0)
}

/// A start-up packet, a negotiation request, or a tagged message (PostgreSQL protocol 3.0,
/// chapter "Message Formats").
#[inline(always)]
fn is_postgres(low: u64) -> bool {
    let ordered = low.swap_bytes();
    let size = (ordered >> 32) as u32;
    let code = ordered as u32;
    // StartupMessage 3.x, CancelRequest, SSLRequest, GSSENCRequest.
    if (8..=10_000).contains(&size) {
        return code >> 16 == 3 || (80_877_102..=80_877_104).contains(&code);
    }
    // A message of 16 MiB and more is not what a turn begins with.
    if byte(low, 1) != 0 {
        return false;
    }
    let size = (ordered >> 24) as u32;
    let behind = byte(low, 5);
    match byte(low, 0) {
        // Nothing but the tag: whatever follows is another message.
        b'1' | b'2' | b'3' | b'n' | b's' | b'c' | b'I' | b'X' => {
            size == 4 && (behind == 0 || behind.is_ascii_alphanumeric())
        }
        b'Z' => size == 5 && matches!(behind, b'I' | b'T' | b'E'),
        b'S' | b'H' => size == 4 || size >= 7,
        b'B' | b'K' => size >= 12,
        b'Q' | b'p' => size >= 5,
        b'P' | b'R' | b'E' | b'N' | b'A' => size >= 8,
        b'C' | b'D' | b'T' | b't' | b'G' | b'W' | b'V' | b'F' => size >= 6,
        b'd' | b'f' => size >= 4,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Protocol {
        let mut look = [0; 16];
        let length = bytes.len().min(16);
        look[..length].copy_from_slice(&bytes[..length]);
        let [low, high] = [0, 8].map(|at| u64::from_le_bytes(look[at..at + 8].try_into().unwrap()));
        recognise(low, high)
    }

    #[test]
    fn only_a_clients_hello_is_one() {
        for (bytes, is_hello) in [
            (b"\x16\x03\x01\x02\x00\x01\x00\x01", true),
            (b"\x16\x03\x03\x00\x7a\x02\x00\x00", false),
            (b"\x17\x03\x03\x00\x45\x01\x00\x00", false),
            (b"\x16\x04\x01\x02\x00\x01\x00\x01", false),
        ] {
            assert_eq!(is_client_hello(u64::from_le_bytes(*bytes)), is_hello);
        }
    }

    #[test]
    fn the_first_bytes_of_a_turn_tell_the_protocol() {
        use Protocol::{Http1, Http2, Postgres, Redis, Tls, Undecided};
        let rows: &[(&[u8], Protocol)] = &[
            (b"GET / HTTP/1.1\r\n", Http1),
            (b"GET http://a/ HTTP/1.1\r\n", Http1),
            (b"POST /v1/shops HTTP/1.1\r\n", Http1),
            (b"PUT /a HTTP/1.1\r\n", Http1),
            (b"PATCH /a HTTP/1.1\r\n", Http1),
            (b"DELETE /a HTTP/1.1\r\n", Http1),
            (b"OPTIONS * HTTP/1.1\r\n", Http1),
            (b"HEAD / HTTP/1.0\r\n", Http1),
            (b"CONNECT a:443 HTTP/1.1\r\n", Http1),
            (b"HTTP/1.1 200 OK\r\n", Http1),
            (b"HTTP/1.0 404 Not Found\r\n", Http1),
            (b"HTTP/2 200\r\n", Undecided),
            (b"GETTING", Undecided),
            (b"GET", Undecided),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Http2),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Tls),
            (b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03", Tls),
            (b"\x17\x03\x03\x00\x45\x9a\x11", Tls),
            (b"\x16\x03\x01\x02\x00\x09", Undecided),
            (b"*1\r\n$4\r\nPING\r\n", Redis),
            (b"*3\r\n$3\r\nSET\r\n", Redis),
            (b"*100\r\n$4\r\nMGET\r\n", Redis),
            (b"$5\r\nhello\r\n", Redis),
            (b"$-1\r\n", Redis),
            (b"$1048576\r\nxxxxxxxx", Redis),
            (b"$10485760\r\nxxxxxxx", Redis),
            (b":42\r\n", Redis),
            (b"+OK\r\n", Redis),
            (b"+PONG\r\n", Redis),
            (b"+QUEUED\r\n", Redis),
            (b"+OK POP3 ready\r\n", Undecided),
            (b"-ERR unknown command\r\n", Redis),
            (b"-WRONGTYPE Operation\r\n", Redis),
            (b"%7\r\n$6\r\nserver", Redis),
            (b"_\r\n", Redis),
            (b"*\r\n", Undecided),
            (b"$abc", Undecided),
            (b"\0\0\0\x54\0\x03\0\0user\0", Postgres),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Postgres),
            (b"\0\0\0\x08\x04\xd2\x16\x30", Postgres),
            (b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01", Postgres),
            (b"Q\0\0\0\x0dSELECT 1\0", Postgres),
            (b"P\0\0\0\x20s1\0SELECT", Postgres),
            (b"B\0\0\0\x0c\0s1\0\0\0\0\0", Postgres),
            (b"1\0\0\0\x042\0\0\0\x04D\0\0", Postgres),
            (b"2\0\0\0\x04", Postgres),
            (b"Z\0\0\0\x05I", Postgres),
            (b"Z\0\0\0\x05X", Undecided),
            (b"R\0\0\0\x08\0\0\0\0", Postgres),
            (b"T\0\0\0\x21\0\x01?col", Postgres),
            (b"E\0\0\0\x54SERROR\0", Postgres),
            (b"S", Undecided),
            (b"N", Undecided),
            (b"SSH-2.0-OpenSSH_9\r\n", Undecided),
            (b"EHLO mail\r\n", Undecided),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0", Undecided),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", Undecided),
            (b"", Undecided),
        ];
        for (bytes, protocol) in rows {
            assert_eq!(of(bytes), *protocol, "{}", bytes.escape_ascii());
        }
    }
}
