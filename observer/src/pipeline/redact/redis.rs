//! Overwrites commands and replies, word by word.

use super::walk::{HIDDEN, NOTHING, Walk, hide};
use crate::decode::Side;
use crate::decode::redis::command::{self, LONGEST_WORD, OTHER, Role};
use crate::decode::redis::line::Length;
use crate::decode::redis::options::Options;
use crate::decode::redis::replies::error_word;
use crate::decode::redis::{Name, Switch};

/// Bytes of the longest line that a length stands in.
const LINE: usize = 32;

/// Overwrites the messages of a stretch, the last of which may be cut; what is none is given up.
pub(super) fn messages(side: Side, walk: &mut Walk<'_>) {
    let mut acknowledged = 0;
    loop {
        let walked = match side {
            Side::Client => request(walk),
            Side::Server => reply(walk, &mut acknowledged),
        };
        if walked.is_none() {
            break;
        }
    }
    given_up(walk.split(u64::MAX));
}

/// Overwrites what was given up; a line that is none ends where it did.
pub(super) fn given_up(walk: Walk<'_>) {
    walk.each(|bytes| {
        for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
            *byte = NOTHING;
        }
    });
}

/// One command; `None` where there is none, or no whole one.
fn request(walk: &mut Walk<'_>) -> Option<()> {
    match walk.seen() {
        [b'*', ..] => {}
        [b'\r' | b'\n', ..] => return walk.take(1).map(|_| ()),
        [b' '..=b'~', ..] => return inline(walk),
        _ => return None,
    }
    let Length::Known(count) = length(walk, b'*')? else {
        return Some(());
    };
    let mut reads = Reads::new();
    for index in 0..count {
        let Length::Known(length) = length(walk, b'$')? else {
            return None;
        };
        let mut word = walk.split(length);
        let read = match word.whole() {
            Some(text) if text.len() as u64 == length => reads.takes(index, count, text),
            _ => false,
        };
        if !read {
            word.each(hide);
        }
        end_of_body(walk)?;
    }
    Some(())
}

/// What the decoder reads of one command's words.
struct Reads {
    command: &'static command::Command,
    options: Options,
}

impl Reads {
    const fn new() -> Self {
        Self {
            command: &OTHER,
            options: Options::new(),
        }
    }

    /// Whether the next word is one that the decoder looks at and knows.
    fn takes(&mut self, index: u64, count: u64, word: &[u8]) -> bool {
        let fits = word.len() <= LONGEST_WORD;
        match (index, self.command.role) {
            (0, _) => {
                let found = command::find(word).filter(|_| fits);
                self.command = found.unwrap_or(&OTHER);
                found.is_some()
            }
            (1, Role::Container) => {
                let found = command::find_sub(self.command, word).filter(|_| fits);
                self.command = found.unwrap_or(&OTHER);
                found.is_some()
            }
            (2, Role::Reply) if count == 3 => Switch::of(word).is_some(),
            _ if self.options.is_next(self.command, index) => self.options.read(word).is_some(),
            _ => false,
        }
    }
}

/// A command on a line of its own, words between white space.
fn inline(walk: &mut Walk<'_>) -> Option<()> {
    let cut = memchr::memchr(b'\n', walk.seen()).is_none();
    let line = match walk.through(b'\n') {
        Some(line) => line,
        None => walk.take(walk.seen().len())?,
    };
    let count = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .count();
    let mut reads = Reads::new();
    let words = line.split_mut(u8::is_ascii_whitespace);
    for (index, word) in (0..).zip(words.filter(|word| !word.is_empty())) {
        if !reads.takes(index, count as u64, word) {
            hide(word);
        }
    }
    (!cut).then_some(())
}

/// One line or body of a reply; `None` where there is none, or no whole one. `acknowledged` says
/// how many of the next ones belong to what acknowledges a subscription.
fn reply(walk: &mut Walk<'_>, acknowledged: &mut u8) -> Option<()> {
    let sign = *walk.seen().first()?;
    let counted = *acknowledged > 0;
    *acknowledged = acknowledged.saturating_sub(1);
    let mut named = |text: &[u8]| {
        let name = Name::of(text);
        if matches!(name, Name::Subscribed(_) | Name::Unsubscribed(_)) {
            *acknowledged = 2;
        }
        name != Name::Other
    };
    match sign {
        b'+' | b'-' | b'(' | b',' => {
            let (text, whole) = text(walk)?;
            match (sign, &*text) {
                (b'+', b"QUEUED" | b"OK" | b"PONG" | b"RESET") => {}
                (b'+', word) if named(word) => {}
                (b'+', [b'0'..=b'9', ..]) => text.fill(b'0'),
                (b'+', word) if word.starts_with(b"FULLRESYNC ") => hide(text.get_mut(11..)?),
                (b'+', word) if word.starts_with(b"CONTINUE") => hide(text.get_mut(8..)?),
                (b'-', _) => error(text),
                (b'+', _) => hide(text),
                _ => text.iter_mut().for_each(number),
            }
            whole.then_some(())
        }
        b':' => {
            let (text, whole) = text(walk)?;
            let digits = text.iter_mut().filter(|byte| byte.is_ascii_digit());
            if !counted {
                digits.for_each(|digit| *digit = b'1');
            }
            whole.then_some(())
        }
        b'#' => {
            let (text, whole) = text(walk)?;
            if matches!(&*text, b"t" | b"f") {
                text.fill(b't');
            }
            whole.then_some(())
        }
        b'_' | b'.' => text(walk).filter(|(_, whole)| *whole).map(|_| ()),
        b'$' if walk.seen().starts_with(b"$EOF:") => {
            let (text, _) = text(walk)?;
            hide(text.get_mut(4..)?);
            None
        }
        b'$' | b'=' | b'!' | b';' => {
            let Length::Known(length) = length(walk, sign)? else {
                return Some(());
            };
            if sign == b';' && length == 0 {
                return Some(());
            }
            let mut body = walk.split(length);
            match body.whole() {
                Some(text) if sign == b'!' => error(text),
                // Its format.
                Some([a, b, c, b':', text @ ..]) if sign == b'=' => {
                    (*a, *b, *c) = (HIDDEN, HIDDEN, HIDDEN);
                    hide(text);
                }
                Some(text) if sign == b'$' && named(text) => {}
                _ => body.each(hide),
            }
            end_of_body(walk)
        }
        b'*' | b'%' | b'~' | b'>' | b'|' => length(walk, sign).map(|_| ()),
        b'\n' => walk.take(1).map(|_| ()),
        _ => None,
    }
}

/// A number that stays one.
fn number(byte: &mut u8) {
    if byte.is_ascii_digit() {
        *byte = b'1';
    } else if !b".-+eEinfa".contains(byte) {
        *byte = HIDDEN;
    }
}

/// What stands between a sign and the end of its line, and whether that end is there.
fn text<'a>(walk: &mut Walk<'a>) -> Option<(&'a mut [u8], bool)> {
    let (line, whole) = match walk.through(b'\n') {
        Some(line) => (line, true),
        None => (walk.take(walk.seen().len())?, false),
    };
    let (_, text) = line.split_first_mut()?;
    let end = text.trim_ascii_end().len();
    Some((text.get_mut(..end)?, whole))
}

/// An error's first word stays where it is one of a server's.
fn error(text: &mut [u8]) {
    let word = text
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(text.len());
    let known = error_word(text) != error_word(b"");
    hide(
        text.get_mut(if known { word } else { 0 }..)
            .unwrap_or_default(),
    );
    if known && let Some(space) = text.get_mut(word) {
        *space = b' ';
    }
}

/// Takes a line with a length, and reads it. A line that is cut stays as far as it goes.
fn length(walk: &mut Walk<'_>, sign: u8) -> Option<Length> {
    let seen = walk.seen();
    let near = seen.get(..LINE).unwrap_or(seen);
    let end = match memchr::memchr(b'\n', near) {
        Some(end) => end,
        None if near.len() == seen.len() && near.iter().skip(1).all(|byte| is_of_length(*byte)) => {
            walk.take(near.len())?;
            return None;
        }
        None => return None,
    };
    let line = near.get(..end)?.strip_suffix(b"\r")?;
    let (first, digits) = line.split_first()?;
    let length = Length::parse(digits).ok().filter(|_| *first == sign)?;
    walk.take(end + 1)?;
    Some(length)
}

fn is_of_length(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'?' | b'\r')
}

/// The line end behind a body, as far as it is there.
fn end_of_body(walk: &mut Walk<'_>) -> Option<()> {
    match walk.seen() {
        [b'\r', b'\n', ..] => walk.take(2).map(|_| ()),
        [b'\r'] => {
            walk.take(1)?;
            None
        }
        // A gap may hide it.
        _ => {
            let mut end = walk.split(2);
            let hidden = end.length() == 2 && end.whole().is_none();
            end.fill(NOTHING);
            hidden.then_some(())
        }
    }
}

const _: () = assert!(HIDDEN != NOTHING);

#[cfg(test)]
mod tests {
    use super::super::walk::Raw;
    use super::*;
    use crate::reassemble::Input;

    fn overwritten(side: Side, text: &str) -> String {
        let mut raw = Raw::default();
        raw.push(Input::Bytes(text.as_bytes()));
        messages(side, &mut raw.walk());
        String::from_utf8(raw.into_bytes()).unwrap()
    }

    #[test]
    fn of_a_command_its_name_stays() {
        for (text, want) in [
            (
                "*2\r\n$3\r\nGET\r\n$2\r\njo\r\n",
                "*2\r\n$3\r\nGET\r\n$2\r\nxx\r\n",
            ),
            (
                "*3\r\n$4\r\nAUTH\r\n$2\r\njo\r\n$3\r\npwd\r\n",
                "*3\r\n$4\r\nAUTH\r\n$2\r\nxx\r\n$3\r\nxxx\r\n",
            ),
            (
                "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$2\r\njo\r\n",
                "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$2\r\nxx\r\n",
            ),
            ("*1\r\n$2\r\njo\r\n", "*1\r\n$2\r\nxx\r\n"),
            ("GET jo\r\n\r\nsecret\n", "GET xx\r\n\r\nxxxxxx\n"),
            (
                "*2\r\n$3\r\nSET\r\n$9\r\nsecre",
                "*2\r\n$3\r\nSET\r\n$9\r\nxxxxx",
            ),
            (
                "*2\r\n$3\r\nGET\r\nsecret\r\n",
                "*2\r\n$3\r\nGET\r\n\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\n",
            ),
        ] {
            assert_eq!(overwritten(Side::Client, text), want);
        }
    }

    #[test]
    fn of_a_reply_its_shape_stays() {
        for (text, want) in [
            (
                "$2\r\njo\r\n+OK\r\n:-42\r\n$-1\r\n",
                "$2\r\nxx\r\n+OK\r\n:-11\r\n$-1\r\n",
            ),
            (
                "-WRONGTYPE jo is a list\r\n-my secret\r\n",
                "-WRONGTYPE xxxxxxxxxxxx\r\n-xxxxxxxxx\r\n",
            ),
            (
                "*3\r\n$9\r\nsubscribe\r\n$2\r\njo\r\n:2\r\n:2\r\n",
                "*3\r\n$9\r\nsubscribe\r\n$2\r\nxx\r\n:2\r\n:1\r\n",
            ),
            ("*2\r\n#f\r\n,1.5\r\n_\r\n", "*2\r\n#t\r\n,1.1\r\n_\r\n"),
            (
                "+QUEUED\r\n+1339518083.1 [0 jo]\r\n",
                "+QUEUED\r\n+0000000000000000000\r\n",
            ),
            ("$5\r\njo", "$5\r\nxx"),
            ("jo", "\u{1}\u{1}"),
        ] {
            assert_eq!(overwritten(Side::Server, text), want);
        }
    }
}
