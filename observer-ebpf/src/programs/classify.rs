//! What a connection carries, guessed from the first bytes of a turn. Provisional: the agent
//! decodes, and corrects the guess.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use observer_ebpf::Protocol;

use super::setting;
use super::state::State;

/// Bytes looked at.
const LOOK: usize = 16;

/// Looks at the first bytes of a turn, while there is something to learn from them.
#[inline(never)]
pub(super) fn classify(skb: *mut __sk_buff, state: *mut State, offset: u32, length: u32) {
    let state = unsafe { &mut *state };
    // After a granted SSLRequest the same connection goes on in TLS.
    let switching = state.protocol == Protocol::Postgres as u8;
    if !switching && state.protocol != Protocol::Undecided as u8 {
        return;
    }
    if u32::from(state.attempts) >= setting!(attempts) {
        return;
    }
    let mut bytes = [0_u8; LOOK];
    let length = length.min(LOOK as u32);
    let mask = LOOK as u32 - 1;
    let length = (length.wrapping_sub(1) & mask) + 1;
    if unsafe { bpf_skb_load_bytes(skb.cast(), offset, bytes.as_mut_ptr().cast(), length) } != 0 {
        return;
    }
    let found = recognise(&bytes, length);
    state.attempts += 1;
    if switching {
        if found == Protocol::Tls as u8 {
            state.protocol = found;
        }
    } else if found != Protocol::Undecided as u8 {
        state.protocol = found;
        state.attempts = 0;
    } else if u32::from(state.attempts) >= setting!(attempts) {
        state.protocol = Protocol::Other as u8;
    }
}

#[inline(always)]
fn recognise(bytes: &[u8; LOOK], length: u32) -> u8 {
    let found = if is_tls(bytes) {
        Protocol::Tls
    } else if starts(bytes, b"PRI * HT") {
        Protocol::Http2
    } else if is_http1(bytes) {
        Protocol::Http1
    } else if is_redis(bytes) {
        Protocol::Redis
    } else if length >= 5 && is_postgres(bytes, length) {
        Protocol::Postgres
    } else {
        Protocol::Undecided
    };
    found as u8
}

#[inline(always)]
fn starts<const N: usize>(bytes: &[u8; LOOK], prefix: &[u8; N]) -> bool {
    let mut same = true;
    for (index, expected) in prefix.iter().enumerate() {
        same &= bytes[index] == *expected;
    }
    same
}

/// A handshake record that begins with a hello (RFC 8446 section 5.1), or application data.
#[inline(always)]
fn is_tls(bytes: &[u8; LOOK]) -> bool {
    let hello = bytes[0] == 22 && bytes[2] <= 4 && matches!(bytes[5], 1 | 2);
    let data = bytes[0] == 23 && bytes[2] == 3;
    bytes[1] == 3 && (hello || data)
}

/// A request line or a status line (RFC 9112 sections 3 and 4).
#[inline(always)]
fn is_http1(bytes: &[u8; LOOK]) -> bool {
    starts(bytes, b"HTTP/1.")
        || starts(bytes, b"GET ") && is_target(bytes[4])
        || starts(bytes, b"POST ") && is_target(bytes[5])
        || starts(bytes, b"PUT ") && is_target(bytes[4])
        || starts(bytes, b"HEAD ") && is_target(bytes[5])
        || starts(bytes, b"PATCH ") && is_target(bytes[6])
        || starts(bytes, b"DELETE ") && is_target(bytes[7])
        || starts(bytes, b"OPTIONS ") && is_target(bytes[8])
        || starts(bytes, b"TRACE ") && is_target(bytes[6])
        || starts(bytes, b"CONNECT ")
}

#[inline(always)]
fn is_target(byte: u8) -> bool {
    matches!(byte, b'/' | b'*' | b'h' | b'H')
}

/// An array, a map, a bulk string, an integer or a short status (RESP2 and RESP3).
#[inline(always)]
fn is_redis(bytes: &[u8; LOOK]) -> bool {
    match bytes[0] {
        b'*' | b'$' | b':' | b'%' | b'~' | b'>' => number_line(bytes),
        b'+' => word(bytes, b'\r'),
        b'-' => word(bytes, b' '),
        b'_' => bytes[1] == b'\r' && bytes[2] == b'\n',
        _ => false,
    }
}

/// A type byte, an optional sign, digits, CR LF.
#[inline(always)]
fn number_line(bytes: &[u8; LOOK]) -> bool {
    let mut digits = 0;
    for index in 1..LOOK - 1 {
        let byte = bytes[index];
        if byte.is_ascii_digit() {
            digits += 1;
        } else if !(index == 1 && byte == b'-') {
            return digits > 0 && byte == b'\r' && bytes[index + 1] == b'\n';
        }
    }
    false
}

/// A type byte, at least two capitals, then `end`.
#[inline(always)]
fn word(bytes: &[u8; LOOK], end: u8) -> bool {
    for index in 1..LOOK {
        let byte = bytes[index];
        if !byte.is_ascii_uppercase() {
            return index > 2 && byte == end;
        }
    }
    false
}

/// A start-up packet, a negotiation request, or a tagged message (PostgreSQL protocol 3.0,
/// chapter "Message Formats").
#[inline(always)]
fn is_postgres(bytes: &[u8; LOOK], length: u32) -> bool {
    let size = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let code = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    // StartupMessage 3.x, CancelRequest, SSLRequest, GSSENCRequest.
    if length >= 8 && size >= 8 && size <= 10_000 {
        return code >> 16 == 3 || (code >= 80_877_102 && code <= 80_877_104);
    }
    // A message of 16 MiB and more is not what a turn begins with.
    if bytes[1] != 0 {
        return false;
    }
    let size = u32::from_be_bytes([0, bytes[2], bytes[3], bytes[4]]);
    match bytes[0] {
        b'1' | b'2' | b'3' | b'n' | b's' | b'c' | b'I' | b'X' => {
            size == 4 && follows(bytes[5], length, 5)
        }
        b'Z' => size == 5 && matches!(bytes[5], b'I' | b'T' | b'E'),
        b'S' | b'H' => size == 4 || size >= 7,
        b'K' => size >= 12,
        b'B' => size >= 12,
        b'Q' | b'p' => size >= 5,
        b'P' | b'R' | b'E' | b'N' | b'A' => size >= 8,
        b'C' | b'D' | b'T' | b't' | b'G' | b'W' | b'V' | b'F' => size >= 6,
        b'd' | b'f' => size >= 4,
        _ => false,
    }
}

/// Whether the byte behind a message, if there is one, begins another.
#[inline(always)]
fn follows(byte: u8, length: u32, index: u32) -> bool {
    length <= index || byte.is_ascii_alphanumeric()
}
