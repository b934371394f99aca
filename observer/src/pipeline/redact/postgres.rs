//! Overwrites PostgreSQL's messages, field by field.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::sql;
use super::walk::{NOTHING, Walk, hide};
use crate::decode::Side;
use crate::decode::postgres::{Body, Message, VALUE_LIMIT, head, turn_end};

/// The values of one message that rules read, by their place.
pub(super) type Places = SmallVec<[usize; 2]>;

/// What the messages of a stretch are overwritten by.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Of each `Bind`, in order.
    pub(super) parameters: VecDeque<Places>,
    /// Of each `DataRow`, in order.
    pub(super) columns: VecDeque<Places>,
    /// The server's next byte answers a request for encryption.
    pub(super) negotiating: bool,
}

impl Reads {
    /// Notes what is not in the bytes.
    pub(super) fn note(&mut self, message: &Message<'_>) {
        if matches!(message.body, Body::SslRequest | Body::GssEncRequest) {
            self.negotiating = true;
        }
    }
}

/// Passes over the server's answer to a request for encryption, where one is due: one byte; an old
/// server says `E` as the tag of a message.
pub(super) fn answer(side: Side, walk: &mut Walk<'_>, reads: &mut Reads) {
    if side == Side::Server
        && let Some(first) = walk.seen().first().copied()
        && std::mem::take(&mut reads.negotiating)
        && first != b'E'
    {
        walk.take(1);
    }
}

/// Overwrites the messages that a stretch begins with, the last of which may be cut.
pub(super) fn messages(side: Side, walk: &mut Walk<'_>, reads: &mut Reads) {
    while let Some((kind, size, length)) = head(side, walk.seen()) {
        walk.take(size);
        let mut body = walk.split(length.into());
        // What ends early, or is none of these, holds nothing more that is read.
        match (side, u8::try_from(kind)) {
            (Side::Client, Ok(tag)) => client(tag, &mut body, reads),
            (Side::Server, Ok(tag)) => server(tag, &mut body, reads),
            (_, Err(_)) => untagged(kind, &mut body),
        };
        body.each(hide);
    }
    if walk.length() < 5 {
        // The beginning of a head: a tag and some of a length.
        while walk.take(1).is_some() {}
    }
}

/// Overwrites what was given up, but for the end of a turn that begins a stream anew.
pub(super) fn given_up(side: Side, walk: Walk<'_>) {
    let mut walk = walk;
    let all = walk.length();
    if side == Side::Server
        && let Some(bytes) = walk.whole()
        && let Some(at) = turn_end(bytes)
    {
        let mut before = walk.split(at as u64);
        before.whole().unwrap_or_default().fill(NOTHING);
        messages(side, &mut walk, &mut Reads::default());
    }
    debug_assert!(walk.length() <= all);
    walk.fill(NOTHING);
}

fn untagged(code: u32, body: &mut Walk<'_>) -> Option<()> {
    const CANCEL: u32 = 80_877_102;
    if code == CANCEL {
        return None;
    }
    let text = body.whole()?.to_vec();
    let mut words = text.split(|byte| *byte == 0);
    let has_database = words.by_ref().step_by(2).any(|key| key == b"database");
    loop {
        let key = body.through(0)?;
        let keep = match &*key {
            b"database\0" | b"replication\0" => true,
            b"user\0" => !has_database,
            b"\0" => return Some(()),
            _ => false,
        };
        let value = body.through(0)?;
        if let ([inside @ .., _], false) = (value, keep) {
            hide(inside);
        }
    }
}

fn client(tag: u8, body: &mut Walk<'_>, reads: &mut Reads) -> Option<()> {
    match tag {
        b'Q' => text(body),
        b'P' => {
            body.through(0)?;
            text(body)?;
            types(body)
        }
        b'B' => {
            let kept = reads.parameters.pop_front().unwrap_or_default();
            body.through(0)?;
            body.through(0)?;
            codes(body)?;
            values(body, &kept)?;
            codes(body)
        }
        b'E' => body.through(0).and(body.take(4)).map(|_| ()),
        b'D' | b'C' => body.take(1).and(body.through(0)).map(|_| ()),
        _ => None,
    }
}

fn server(tag: u8, body: &mut Walk<'_>, reads: &mut Reads) -> Option<()> {
    match tag {
        b'D' => {
            let kept = reads.columns.pop_front().unwrap_or_default();
            values(body, &kept)
        }
        b'C' => {
            let tag = body.through(0)?;
            let plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            if !tag
                .iter()
                .all(|byte| plain(byte) || matches!(byte, b' ' | 0))
            {
                // No tag is made of these, so none is believed.
                tag.split_last_mut()?.1.fill(b'_');
            }
            Some(())
        }
        b'Z' => body.take(1).map(|_| ()),
        b'T' => {
            for _ in 0..body.number()? {
                body.through(0)?;
                body.take(18)?;
            }
            Some(())
        }
        b't' => types(body),
        // What kind of step it is; not what it holds.
        b'R' => body.take(4).map(|_| ()),
        b'S' => loop {
            hide(body.through(0)?.split_last_mut()?.1);
        },
        b'E' | b'N' => loop {
            let [field] = *body.take(1)? else { return None };
            if field == 0 {
                return Some(());
            }
            let value = body.through(0)?;
            let severity = matches!(&*value, b"ERROR\0" | b"FATAL\0" | b"PANIC\0");
            if !(field == b'C' || severity && matches!(field, b'S' | b'V')) {
                hide(value.split_last_mut()?.1);
            }
        },
        _ => None,
    }
}

/// A statement's text, up to the zero byte that ends it, or to where it is not captured.
fn text(body: &mut Walk<'_>) -> Option<()> {
    if let Some(text) = body.through(0) {
        sql::overwrite(text.split_last_mut()?.1);
        return Some(());
    }
    let seen = body.seen().len();
    sql::overwrite(body.take(seen)?);
    None
}

/// Types by their number.
fn types(body: &mut Walk<'_>) -> Option<()> {
    let count = body.number()?;
    body.take(usize::from(count) * 4).map(|_| ())
}

/// Format codes.
fn codes(body: &mut Walk<'_>) -> Option<()> {
    let count = body.number()?;
    body.take(usize::from(count) * 2).map(|_| ())
}

/// Values, each behind its length; of one that is read its beginning stays.
fn values(body: &mut Walk<'_>, kept: &[usize]) -> Option<()> {
    for place in 0..usize::from(body.number()?) {
        let length = body.take(4)?.first_chunk().copied()?;
        let Ok(length) = u32::try_from(i32::from_be_bytes(length)) else {
            continue;
        };
        let mut value = body.split(length.into());
        if kept.contains(&place) {
            value.take(length.min(VALUE_LIMIT) as usize);
        }
        value.each(hide);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::walk::Raw;
    use super::*;
    use crate::reassemble::Input;

    fn overwritten(side: Side, bytes: &[u8], reads: &mut Reads) -> String {
        let mut raw = Raw::default();
        raw.push(Input::Bytes(bytes));
        let mut walk = raw.walk();
        messages(side, &mut walk, reads);
        walk.fill(NOTHING);
        raw.into_bytes().escape_ascii().to_string()
    }

    #[test]
    fn of_each_message_only_what_is_read_stays() {
        let mut reads = Reads {
            parameters: VecDeque::from([Places::from_slice(&[1])]),
            columns: VecDeque::from([Places::from_slice(&[0])]),
            negotiating: false,
        };
        for (side, bytes, want) in [
            (
                Side::Client,
                &b"p\0\0\0\x0bsecret\0"[..],
                r"p\x00\x00\x00\x0bxxxxxxx",
            ),
            (
                Side::Client,
                b"Q\0\0\0\x0eSELECT 'a'\0",
                r"Q\x00\x00\x00\x0eSELECT \'x\'\x00",
            ),
            (
                Side::Client,
                b"B\0\0\0\x18\0s\0\0\0\0\x02\0\0\0\x02jo\0\0\0\x017\0\0",
                r"B\x00\x00\x00\x18\x00s\x00\x00\x00\x00\x02\x00\x00\x00\x02xx\x00\x00\x00\x017\x00\x00",
            ),
            (
                Side::Server,
                b"D\0\0\0\x11\0\x02\0\0\0\x017\0\0\0\x02jo",
                r"D\x00\x00\x00\x11\x00\x02\x00\x00\x00\x017\x00\x00\x00\x02xx",
            ),
            (
                Side::Server,
                b"E\0\0\0\x19SERROR\0C23505\0Mjo\0\0",
                r"E\x00\x00\x00\x19SERROR\x00C23505\x00Mxx\x00\x00",
            ),
            (
                Side::Server,
                b"S\0\0\0\x09a\0jo\0Z\0\0\0\x05I",
                r"S\x00\x00\x00\tx\x00xx\x00Z\x00\x00\x00\x05I",
            ),
            (Side::Server, b"jo's message", &r"\x01".repeat(12)),
        ] {
            assert_eq!(overwritten(side, bytes, &mut reads), want);
        }
    }

    #[test]
    fn a_startup_keeps_the_database_else_the_user() {
        let startup = |pairs: &[u8]| {
            let length = u32::try_from(pairs.len() + 8).unwrap();
            [&length.to_be_bytes()[..], &[0, 3, 0, 0], pairs].concat()
        };
        for (pairs, want) in [
            (
                &b"user\0jo\0database\0shop\0options\0-c x=1\0\0"[..],
                "user\0xx\0database\0shop\0options\0xxxxxx\0\0",
            ),
            (
                b"user\0jo\0application_name\0me\0\0",
                "user\0jo\0application_name\0xx\0\0",
            ),
        ] {
            let got = overwritten(Side::Client, &startup(pairs), &mut Reads::default());
            assert!(
                got.ends_with(&want.escape_default().to_string().replace("\\u{0}", "\\x00")),
                "{got}"
            );
        }
    }
}
