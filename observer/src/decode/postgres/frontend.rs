//! What a client says.

use super::cursor::Cursor;
use super::fields::{Bind, Types, name};
use super::framing::code;
use super::{Body, Startup, TEXT_LIMIT, Target, Text};

/// Reads a client's message; what of it was not captured is left open in the message.
pub(super) fn read(kind: u32, body: &[u8], condensed: bool) -> Body<'_> {
    let mut cursor = Cursor::new(body);
    let Ok(tag) = u8::try_from(kind) else {
        return match kind {
            code::SSL => Body::SslRequest,
            code::GSSENC => Body::GssEncRequest,
            code::CANCEL => Body::CancelRequest,
            _ => Body::Startup(startup(cursor)),
        };
    };
    match tag {
        b'Q' => Body::Query(text(&mut cursor)),
        b'P' => Body::Parse {
            name: cursor.text().map(name),
            text: text(&mut cursor),
            types: Types::new(cursor.rest()),
        },
        b'B' => Body::Bind(Bind::new(body, condensed)),
        b'E' => Body::Execute {
            portal: cursor.text().map(name),
        },
        b'D' => Body::Describe(target(&mut cursor)),
        b'C' => Body::Close(target(&mut cursor)),
        b'S' => Body::Sync,
        b'F' => Body::FunctionCall,
        b'c' | b'f' => Body::CopyEnd,
        b'X' => Body::Terminate,
        _ => Body::Aside,
    }
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Text<'a> {
    let rest = cursor.rest();
    let (bytes, whole) = match cursor.text() {
        Some(text) => (text, true),
        None => (rest, false),
    };
    match bytes.get(..TEXT_LIMIT as usize) {
        Some(first) if bytes.len() > first.len() => Text {
            bytes: first,
            cut: true,
        },
        _ => Text { bytes, cut: !whole },
    }
}

fn target<'a>(cursor: &mut Cursor<'a>) -> Target<'a> {
    match cursor.u8() {
        Some(b'P') => Target::Portal(cursor.text().map(name)),
        _ => Target::Statement(cursor.text().map(name)),
    }
}

fn startup(mut cursor: Cursor<'_>) -> Startup<'_> {
    let mut startup = Startup::default();
    while let (Some(key), Some(value)) = (cursor.text(), cursor.text()) {
        match key {
            b"user" => startup.user = name(value),
            b"database" => startup.database = name(value),
            b"replication" => {
                startup.replication = !matches!(value, b"false" | b"off" | b"no" | b"0");
            }
            _ => {}
        }
    }
    startup
}
