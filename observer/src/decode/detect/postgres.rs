//! PostgreSQL protocol 3: what opens a connection, and its messages wherever they begin.
//!
//! Source: PostgreSQL's documentation, "Message Formats". A message is a tag and a length, which
//! other protocols have, too; so what is in sight of a message must have the form of its tag, what
//! follows must be a message again, and at least one of them must be unmistakable, or two whole.

use observer_ebpf::Protocol;

use super::{Front as _, Guess};
use crate::decode::Side;

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
/// Protocols 3.0 and 3.2, the only ones that exist.
const VERSIONS: [u32; 2] = [0x0003_0000, 0x0003_0002];

/// Longest packet that a server reads before authentication (`MAX_STARTUP_PACKET_LENGTH`).
const LONGEST_STARTUP: u32 = 10_000;

/// Longest message that is believed: its length begins with a zero; a longer one is met again at a
/// later turn.
const LONGEST: u32 = (1 << 24) - 1;

/// Longest message that is believed by a part of it whose bytes are mostly numbers.
const LONGEST_IN_PART: usize = 1 << 16;

/// Columns or parameters that are believed; PostgreSQL has at most 1,664 columns.
const COLUMNS: u16 = 256;

/// Guesses.
pub(super) fn guess(first: &[u8]) -> Guess {
    if first.first() == Some(&0) {
        return startup(first);
    }
    match (chain(first, client_form), chain(first, server_form)) {
        (Guess::Found(..), Guess::Found(..)) => Guess::Found(Protocol::Postgres, None),
        (Guess::Found(..), _) => Guess::Found(Protocol::Postgres, Some(Side::Client)),
        (_, Guess::Found(..)) => Guess::Found(Protocol::Postgres, Some(Side::Server)),
        (Guess::Undecided, _) | (_, Guess::Undecided) => Guess::Undecided,
        (Guess::Other, Guess::Other) => Guess::Other,
    }
}

/// A packet without a tag: its length and its code.
fn startup(first: &[u8]) -> Guess {
    let found = Guess::Found(Protocol::Postgres, Some(Side::Client));
    let Some(length) = first.u32_at(0) else {
        return Guess::Undecided;
    };
    if !(8..=LONGEST_STARTUP).contains(&length) {
        return Guess::Other;
    }
    match (first.u32_at(4), length) {
        (None, _) => Guess::Undecided,
        (Some(SSL_REQUEST | GSSENC_REQUEST), 8) | (Some(CANCEL_REQUEST), 16..=268) => found,
        (Some(code), _) if VERSIONS.contains(&code) => {
            let rest = first.get(8..).unwrap_or_default();
            match rest.iter().position(|byte| *byte == 0) {
                // The shortest is `user`.
                Some(4..) if is_name(rest) => found,
                None if is_name(rest) => Guess::Undecided,
                _ => Guess::Other,
            }
        }
        _ => Guess::Other,
    }
}

/// Whether a parameter's name begins here, as far as it can be seen.
fn is_name(bytes: &[u8]) -> bool {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    name.first()
        .is_none_or(|b| b.is_ascii_alphabetic() || *b == b'_')
        && name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
}

/// What a message shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// It contradicts its tag.
    Not,
    /// It may be one.
    Weak,
    /// It can hardly be anything else.
    Strong,
}

/// Of a message's body what is in sight, and how long it is.
#[derive(Clone, Copy)]
struct Body<'a> {
    seen: &'a [u8],
    length: usize,
}

/// Walks from message to message as far as they are in sight.
fn chain(first: &[u8], form: fn(u8, Body<'_>) -> Form) -> Guess {
    let mut rest = first;
    let (mut whole, mut strong) = (0, false);
    while let Some((tag, behind)) = rest.split_first() {
        let Some(length) = behind.u32_at(0) else {
            // The tag must be one, and a length begins with a zero.
            let known = [0, 1, 8, 64]
                .into_iter()
                .any(|length| form(*tag, Body { seen: &[], length }) != Form::Not);
            if !known || behind.first().is_some_and(|byte| *byte != 0) {
                return Guess::Other;
            }
            break;
        };
        if !(4..=LONGEST).contains(&length) {
            return Guess::Other;
        }
        let length = usize::try_from(length - 4).unwrap_or(usize::MAX);
        let body = behind.get(4..).unwrap_or_default();
        let seen = body.get(..length).unwrap_or(body);
        match form(*tag, Body { seen, length }) {
            Form::Not => return Guess::Other,
            Form::Strong => strong = true,
            Form::Weak => {}
        }
        if seen.len() < length {
            break;
        }
        whole += 1;
        rest = body.get(length..).unwrap_or_default();
    }
    if strong || whole >= 2 {
        Guess::Found(Protocol::Postgres, None)
    } else {
        Guess::Undecided
    }
}

fn client_form(tag: u8, body: Body<'_>) -> Form {
    match tag {
        b'Q' => body.query(),
        b'P' => body.parse(),
        b'B' => body.bind(),
        b'E' => body.execute(),
        b'D' | b'C' => body.named(),
        b'H' | b'S' | b'X' => body.empty(),
        b'c' => body.empty().at_most(Form::Weak),
        b'd' | b'F' => Form::Weak,
        b'f' | b'p' => body.text(|_| true).at_most(Form::Weak),
        _ => Form::Not,
    }
}

fn server_form(tag: u8, body: Body<'_>) -> Form {
    match tag {
        b'Z' => body.ready(),
        b'R' => body.authentication(),
        b'K' => check(body.length == 8, Form::Weak),
        b'S' => body.parameter_status(),
        b'T' => body.row_description(),
        b'D' => body.data_row(),
        b'C' => body.command_tag(),
        b'E' | b'N' => body.fields(),
        b't' => body.counted(2, 4, 0),
        b'G' | b'H' | b'W' => body.counted(3, 2, 1),
        b'1' | b'2' | b'3' | b'n' | b'I' | b's' => body.empty(),
        b'c' => body.empty().at_most(Form::Weak),
        b'd' | b'A' | b'V' | b'v' => Form::Weak,
        _ => Form::Not,
    }
}

impl Form {
    fn at_most(self, most: Self) -> Self {
        if self == Self::Strong { most } else { self }
    }
}

fn check(fits: bool, form: Form) -> Form {
    if fits { form } else { Form::Not }
}

fn is_text(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || matches!(byte, b'\t' | b'\n' | b'\r')
}

impl<'a> Body<'a> {
    fn whole(self) -> bool {
        self.seen.len() == self.length
    }

    fn is_believed(self) -> bool {
        self.whole() || self.length <= LONGEST_IN_PART
    }

    fn empty(self) -> Form {
        check(self.length == 0, Form::Strong)
    }

    /// One string to the body's end, whose first byte fits.
    fn text(self, first: fn(u8) -> bool) -> Form {
        let (last, text) = match self.seen.split_last() {
            Some((last, text)) if self.whole() => (Some(*last), text),
            _ => (None, self.seen),
        };
        let fits = self.length > 0
            && last.is_none_or(|byte| byte == 0)
            && text.iter().all(|byte| is_text(*byte))
            && text.first().is_none_or(|byte| first(*byte));
        let long = text.len() >= 16 || last.is_some();
        check(fits, if long { Form::Strong } else { Form::Weak })
    }

    fn query(self) -> Form {
        self.text(|byte| {
            byte.is_ascii_alphabetic()
                || byte.is_ascii_whitespace()
                || matches!(byte, b'(' | b'-' | b'/' | b';')
        })
    }

    /// A string at the front, and what follows it; `None` in place of the rest where its end is
    /// out of sight.
    fn string(self) -> Option<(&'a [u8], Option<Body<'a>>)> {
        let end = self.seen.iter().position(|byte| *byte == 0);
        let text = self.seen.get(..end.unwrap_or(self.seen.len()))?;
        let cut = end.is_none() && self.whole();
        let unicode = end.is_none() || std::str::from_utf8(text).is_ok();
        if cut || !unicode || !text.iter().all(|byte| is_text(*byte)) {
            return None;
        }
        let rest = end.and_then(|end| {
            Some(Self {
                seen: self.seen.get(end + 1..)?,
                length: self.length.checked_sub(end + 1)?,
            })
        });
        Some((text, rest))
    }

    fn parse(self) -> Form {
        let Some((name, rest)) = self.string() else {
            return Form::Not;
        };
        let Some(text) = rest else {
            return check(
                true,
                if name.len() >= 16 {
                    Form::Strong
                } else {
                    Form::Weak
                },
            );
        };
        match text.string() {
            None => Form::Not,
            Some((text, None)) if text.len() >= 8 => Form::Strong,
            Some((_, None)) => Form::Weak,
            Some((_, Some(types))) => types.counted(2, 4, 0),
        }
    }

    fn bind(self) -> Form {
        let Some((portal, rest)) = self.string() else {
            return Form::Not;
        };
        let Some((statement, rest)) = rest.map_or(Some((portal, None)), Self::string) else {
            return Form::Not;
        };
        let Some(rest) = rest else {
            let long = statement.len() >= 16;
            return if long { Form::Strong } else { Form::Weak };
        };
        let Some(formats) = rest.seen.u16_at(0).map(usize::from) else {
            return Form::Weak;
        };
        let Some(codes) = rest.seen.get(2..) else {
            return Form::Not;
        };
        let known = codes
            .chunks_exact(2)
            .take(formats)
            .all(|code| matches!(code, [0, 0 | 1]));
        let parameters = codes.u16_at(formats * 2).map(usize::from);
        let fixed = 2 + formats * 2 + 2;
        let behind = rest.seen.get(fixed..).unwrap_or_default();
        let (Some(room), true) = (rest.length.checked_sub(fixed + 2), known) else {
            return Form::Not;
        };
        let most = usize::from(COLUMNS);
        let one_for_all = formats <= 1 || parameters.is_none_or(|count| count == formats);
        if !one_for_all || parameters.is_some_and(|count| count > most) || !self.is_believed() {
            return Form::Not;
        }
        match (parameters, behind.u16_at(0), behind.u32_at(0)) {
            (Some(0), Some(results), _) => check(room == usize::from(results) * 2, Form::Strong),
            (Some(count @ 1..), _, Some(length)) => {
                let length = if length == u32::MAX {
                    0
                } else {
                    length as usize
                };
                check(count * 4 + length <= room, Form::Strong)
            }
            _ => Form::Weak,
        }
    }

    fn execute(self) -> Form {
        match self.string() {
            Some((_, Some(rows))) => {
                let form = if rows.whole() {
                    Form::Strong
                } else {
                    Form::Weak
                };
                check(rows.length == 4, form)
            }
            Some((_, None)) => Form::Weak,
            None => Form::Not,
        }
    }

    /// Of Describe and Close: what kind, and its name.
    fn named(self) -> Form {
        match self.seen.split_first() {
            None => check(self.length > 1, Form::Weak),
            Some((b'S' | b'P', seen)) => Body {
                seen,
                length: self.length - 1,
            }
            .text(|_| true),
            Some(_) => Form::Not,
        }
    }

    fn ready(self) -> Form {
        let status = self.seen.first();
        let known = status.is_none_or(|status| matches!(status, b'I' | b'T' | b'E'));
        let form = if self.whole() {
            Form::Strong
        } else {
            Form::Weak
        };
        check(self.length == 1 && known, form)
    }

    fn authentication(self) -> Form {
        let fits = match (self.seen.u32_at(0), self.length) {
            (None, 4..) => return Form::Weak,
            (Some(0 | 2 | 3 | 7 | 9), 4) | (Some(5), 8) | (Some(8 | 10..=12), 5..) => true,
            _ => false,
        };
        check(fits, Form::Strong)
    }

    fn parameter_status(self) -> Form {
        match self.string() {
            Some(([], Some(_))) | None => Form::Not,
            Some((name, _)) if !is_name(name) => Form::Not,
            Some((_, None)) => Form::Weak,
            Some((_, Some(value))) => value.text(|_| true),
        }
    }

    fn row_description(self) -> Form {
        let Some(columns) = self.seen.u16_at(0) else {
            return check(self.length >= 2, Form::Weak);
        };
        let least = 2 + usize::from(columns) * 19;
        if columns > COLUMNS || self.length < least || !self.is_believed() {
            return Form::Not;
        }
        let fields = Body {
            seen: self.seen.get(2..).unwrap_or_default(),
            length: self.length - 2,
        };
        if columns == 0 {
            return check(self.length == 2, Form::Weak);
        }
        match fields.string() {
            // Every column has a name.
            None | Some(([], Some(_))) => Form::Not,
            Some((name, None)) => {
                if name.len() >= 16 {
                    Form::Strong
                } else {
                    Form::Weak
                }
            }
            // Behind table, column, type, size and modifier: text or binary.
            Some((_, Some(rest))) => match rest.seen.u16_at(16) {
                None => Form::Weak,
                Some(format) => check(format <= 1, Form::Strong),
            },
        }
    }

    fn data_row(self) -> Form {
        let Some(columns) = self.seen.u16_at(0) else {
            return check(self.length >= 2, Form::Weak);
        };
        let Some(mut left) = self.length.checked_sub(2 + usize::from(columns) * 4) else {
            return Form::Not;
        };
        let mut rest = self.seen.get(2..).unwrap_or_default();
        // Of a row that is not whole, a value or a NULL must be in sight.
        let mut valued = false;
        if columns > COLUMNS || !self.is_believed() {
            return Form::Not;
        }
        for _ in 0..columns {
            let Some(length) = rest.u32_at(0) else {
                return if valued { Form::Strong } else { Form::Weak };
            };
            valued |= length > 0;
            let length = if length == u32::MAX {
                0
            } else {
                length as usize
            };
            let Some(remaining) = left.checked_sub(length) else {
                return Form::Not;
            };
            left = remaining;
            rest = rest.get(4 + length..).unwrap_or_default();
        }
        let form = if columns == 0 {
            Form::Weak
        } else {
            Form::Strong
        };
        check(left == 0, form)
    }

    /// Words in capitals, then numbers.
    fn command_tag(self) -> Form {
        let word = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ';
        let text = self.seen.strip_suffix(&[0]).unwrap_or(self.seen);
        let fits = text.iter().all(word) && self.length <= 64;
        check(fits, self.text(|byte| byte.is_ascii_uppercase()))
    }

    /// Of errors and notices: fields of a letter and a string, severity first.
    fn fields(self) -> Form {
        match self.seen.split_first() {
            None => check(self.length > 2, Form::Weak),
            Some((b'S', seen)) => {
                let rest = Body {
                    seen,
                    length: self.length - 1,
                };
                match rest.string() {
                    Some(([_, _, ..], Some(next))) => match next.seen.first() {
                        None => Form::Weak,
                        Some(field) => check(matches!(field, b'V' | b'C'), Form::Strong),
                    },
                    Some((_, None)) => Form::Weak,
                    _ => Form::Not,
                }
            }
            Some(_) => Form::Not,
        }
    }

    /// A fixed part that ends with a count, and as many numbers of `size` bytes. Before the count
    /// there are `before` bytes of 0 or 1.
    fn counted(self, fixed: usize, size: usize, before: usize) -> Form {
        let flags = self.seen.iter().take(before).all(|flag| *flag <= 1);
        let fits = match self.seen.u16_at(before) {
            None => return check(flags && self.length >= fixed, Form::Weak),
            Some(count) => self.length == fixed + usize::from(count) * size,
        };
        check(flags && fits, Form::Strong)
    }
}
