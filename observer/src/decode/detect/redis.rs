//! RESP2, RESP3 and inline commands.

use observer_ebpf::Protocol;

use super::{Compared, Guess, compare};
use crate::decode::Side;
use crate::decode::redis::command::find;

/// Inline commands that health checks and people send; those that other text protocols have, too
/// (`get` and `set` of memcached, `QUIT`, `AUTH` and `HELO` of mail), are not among them.
const INLINE: [&[u8]; 6] = [b"PING", b"INFO", b"ECHO", b"HELLO", b"MONITOR", b"DBSIZE"];

/// First words of errors that a server sends.
const ERRORS: [&[u8]; 17] = [
    b"ERR",
    b"WRONGTYPE",
    b"MOVED",
    b"ASK",
    b"NOAUTH",
    b"WRONGPASS",
    b"NOPERM",
    b"LOADING",
    b"BUSY",
    b"NOSCRIPT",
    b"OOM",
    b"READONLY",
    b"MISCONF",
    b"EXECABORT",
    b"CLUSTERDOWN",
    b"CROSSSLOT",
    b"DENIED",
];

/// Status replies that are whole in a line.
const STATUS: [&[u8]; 5] = [
    b"OK",
    b"PONG",
    b"QUEUED",
    b"RESET",
    b"Background saving started",
];

const FROM_SERVER: Guess = Guess::Found(Protocol::Redis, Some(Side::Server));
const FROM_CLIENT: Guess = Guess::Found(Protocol::Redis, Some(Side::Client));

const FROM_EITHER: Guess = Guess::Found(Protocol::Redis, None);

/// Digits of a count or length that is believed.
const DIGITS: usize = 10;

/// Guesses.
pub(super) fn guess(first: &[u8]) -> Guess {
    let Some((sign, rest)) = first.split_first() else {
        return Guess::Undecided;
    };
    match sign {
        b'*' => array(rest),
        b'+' => one_of(&STATUS, rest, b"\r\n"),
        b'-' => one_of(&ERRORS, rest, b" "),
        b':' | b',' | b'(' | b'_' | b'#' => scalar(*sign, rest),
        b'$' | b'!' | b'=' => bulk(*sign, rest),
        b'~' | b'%' | b'>' | b'|' => aggregate(*sign, rest),
        _ => inline(first),
    }
}

/// A number line: its number and what follows it.
fn number(rest: &[u8]) -> Result<(u64, &[u8]), Guess> {
    let end = rest.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, behind) = rest.split_at(end.unwrap_or(rest.len()));
    let padded = digits.len() > 1 && digits.starts_with(b"0");
    if digits.len() > DIGITS || padded || (digits.is_empty() && !behind.is_empty()) {
        return Err(Guess::Other);
    }
    match compare(behind, b"\r\n") {
        Compared::Different => Err(Guess::Other),
        Compared::SoFar => Err(Guess::Undecided),
        Compared::Whole => {
            let digits = std::str::from_utf8(digits).ok();
            let number = digits.and_then(|digits| digits.parse().ok());
            let number = number.ok_or(Guess::Other)?;
            Ok((number, behind.get(2..).unwrap_or_default()))
        }
    }
}

/// `*n`: a command, or a reply.
fn array(rest: &[u8]) -> Guess {
    let nil = compare(rest, b"-1\r\n");
    if nil == Compared::Whole {
        return FROM_SERVER;
    }
    let (count, behind) = match number(rest) {
        Ok(found) => found,
        Err(_) if nil == Compared::SoFar => return Guess::Undecided,
        Err(guess) => return guess,
    };
    match behind {
        _ if count == 0 => FROM_EITHER,
        [] => Guess::Undecided,
        [b'$', word @ ..] => first_word(count, word),
        _ => element(behind),
    }
}

/// The first element of an array is a string. Both sides send such arrays; only a command begins
/// with a verb.
fn first_word(count: u64, rest: &[u8]) -> Guess {
    if compare(rest, b"-1\r\n") == Compared::Whole {
        return FROM_SERVER;
    }
    let (length, word) = match number(rest) {
        Ok(found) => found,
        Err(_) if compare(rest, b"-1\r\n") == Compared::SoFar => return Guess::Undecided,
        Err(guess) => return guess,
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let Some((word, behind)) = word.split_at_checked(length) else {
        return if length > super::ENOUGH / 2 {
            // No verb is that long.
            FROM_SERVER
        } else {
            Guess::Undecided
        };
    };
    if compare(behind, b"\r\n") == Compared::Different {
        return Guess::Other;
    }
    // All words of a command are strings.
    match behind.get(2..) {
        Some([b'$', b'-', ..]) if count > 1 => return FROM_SERVER,
        Some(next @ [sign, ..]) if count > 1 && *sign != b'$' => return element(next),
        _ => {}
    }
    match word {
        b"message" | b"pmessage" | b"smessage" => FROM_SERVER,
        // As a client writes it, or as its acknowledgement begins.
        b"subscribe" | b"psubscribe" | b"ssubscribe" | b"unsubscribe" | b"punsubscribe"
        | b"sunsubscribe" => FROM_EITHER,
        _ if find(word).is_some() => FROM_CLIENT,
        _ => FROM_EITHER,
    }
}

/// A set, a map, attributes or a push.
fn aggregate(sign: u8, rest: &[u8]) -> Guess {
    match number(rest) {
        Ok((0, _)) if matches!(sign, b'~' | b'%') => FROM_SERVER,
        Ok((0, _)) => Guess::Other,
        Ok((_, [])) => Guess::Undecided,
        Ok((_, behind)) => element(behind),
        Err(guess) => guess,
    }
}

/// The first element of an aggregate that only servers send.
fn element(bytes: &[u8]) -> Guess {
    match bytes.split_first() {
        None => Guess::Undecided,
        Some((sign @ (b'*' | b'~' | b'%' | b'>' | b'|' | b'$' | b'!' | b'='), rest)) => {
            match (number(rest), compare(rest, b"-1\r\n")) {
                (Ok(_), _) => FROM_SERVER,
                (_, Compared::Whole) if matches!(sign, b'*' | b'$') => FROM_SERVER,
                (_, Compared::SoFar) => Guess::Undecided,
                (Err(guess), _) => guess,
            }
        }
        Some((sign @ (b':' | b',' | b'(' | b'_' | b'#'), rest)) => scalar(*sign, rest),
        Some((b'+' | b'-', rest)) => match rest.iter().position(|b| !matches!(b, b' '..=b'~')) {
            None if rest.len() < super::ENOUGH => Guess::Undecided,
            Some(end) if rest.get(end) == Some(&b'\r') => FROM_SERVER,
            _ => Guess::Other,
        },
        Some(_) => Guess::Other,
    }
}

/// A value that is whole in its line.
fn scalar(sign: u8, rest: &[u8]) -> Guess {
    let end = rest.iter().position(|byte| *byte == b'\r');
    let (text, behind) = rest.split_at(end.unwrap_or(rest.len()));
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let numeric = |extra: &[u8]| {
        unsigned
            .iter()
            .all(|b| b.is_ascii_digit() || extra.contains(b))
    };
    let whole = !behind.is_empty();
    let fits = match sign {
        b':' => numeric(b"") && text.len() <= 20 && !(whole && unsigned.is_empty()),
        b',' => {
            let words: [&[u8]; 4] = [b"inf", b"-inf", b"nan", b"-nan"];
            let number = numeric(b".eE+-") && !(whole && unsigned.is_empty());
            text.len() <= 32 && (number || words.iter().any(|word| fits_so_far(word, text, whole)))
        }
        // Eighteen digits would fit an integer.
        b'(' => numeric(b"") && !(whole && unsigned.len() < 18),
        b'#' => fits_so_far(b"t", text, whole) || fits_so_far(b"f", text, whole),
        _ => text.is_empty(),
    };
    match (fits, compare(behind, b"\r\n")) {
        (false, _) | (_, Compared::Different) => Guess::Other,
        (true, Compared::SoFar) => Guess::Undecided,
        (true, Compared::Whole) => FROM_SERVER,
    }
}

fn fits_so_far(word: &[u8], text: &[u8], whole: bool) -> bool {
    word == text || (!whole && word.starts_with(text))
}

/// A string with its length. Commands have them inside an array only.
fn bulk(sign: u8, rest: &[u8]) -> Guess {
    let nil = compare(rest, b"-1\r\n");
    match (number(rest), nil) {
        (_, Compared::Whole) if sign == b'$' => FROM_SERVER,
        (Err(_), Compared::SoFar) if sign == b'$' => Guess::Undecided,
        (Err(guess), _) => guess,
        (Ok((length, body)), _) => {
            let behind = usize::try_from(length).ok().and_then(|n| body.get(n..));
            match behind {
                // A verbatim string names its format.
                _ if sign == b'=' && body.get(3).is_some_and(|b| *b != b':') => Guess::Other,
                Some(behind) if compare(behind, b"\r\n") == Compared::Different => Guess::Other,
                Some(behind) if behind.len() < 2 => Guess::Undecided,
                _ => FROM_SERVER,
            }
        }
    }
}

/// A line that must be one of `forms`, followed by `end`.
fn one_of(forms: &[&[u8]], rest: &[u8], end: &[u8]) -> Guess {
    let mut guess = Guess::Other;
    for form in forms {
        match rest.strip_prefix(*form) {
            None if form.starts_with(rest) => guess = Guess::Undecided,
            None => {}
            Some(behind) => match compare(behind, end) {
                Compared::Whole => return FROM_SERVER,
                Compared::SoFar => guess = Guess::Undecided,
                Compared::Different => {}
            },
        }
    }
    guess
}

/// An inline command, in upper or lower case: a line of printable characters.
fn inline(first: &[u8]) -> Guess {
    let end = first.iter().position(|byte| !byte.is_ascii_alphabetic());
    let (verb, behind) = first.split_at(end.unwrap_or(first.len()));
    if behind.is_empty() {
        let so_far = |known: &&[u8]| {
            let known = known.get(..verb.len());
            known.is_some_and(|known| known.eq_ignore_ascii_case(verb))
        };
        return if INLINE.iter().any(so_far) {
            Guess::Undecided
        } else {
            Guess::Other
        };
    }
    if !INLINE.iter().any(|known| known.eq_ignore_ascii_case(verb)) {
        return Guess::Other;
    }
    match behind.iter().position(|byte| !matches!(byte, b' '..=b'~')) {
        None => Guess::Undecided,
        Some(end) => match behind.get(end..) {
            Some([b'\n', ..] | [b'\r', b'\n', ..]) => {
                let words = behind.get(..end).unwrap_or_default();
                // `INFO {…}` greets clients of another protocol.
                let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'_' | b'-');
                if words.is_empty() || (words.starts_with(b" ") && words.iter().all(plain)) {
                    FROM_CLIENT
                } else {
                    Guess::Other
                }
            }
            Some([b'\r']) => Guess::Undecided,
            _ => Guess::Other,
        },
    }
}
