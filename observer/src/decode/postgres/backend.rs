//! What a server says.

use super::cursor::Cursor;
use super::fields::{Columns, Types, Values};
use super::{Body, Status};

/// Reads a server's message; what of it was not captured is left open in the message.
pub(super) fn read(kind: u32, body: &[u8], condensed: bool) -> Body<'_> {
    match u8::try_from(kind).unwrap_or(0) {
        b'D' => Body::DataRow(Values::new(body, condensed)),
        b'C' => Body::CommandComplete(Cursor::new(body).text()),
        b'Z' => Body::ReadyForQuery(body.first().copied().and_then(Status::from_byte)),
        b'1' => Body::ParseComplete,
        b'2' => Body::BindComplete,
        b'3' => Body::CloseComplete,
        b'I' => Body::EmptyQueryResponse,
        b'n' => Body::NoData,
        b's' => Body::PortalSuspended,
        b'T' => Body::RowDescription(Columns::new(body)),
        b't' => Body::ParameterDescription(Types::new(body)),
        b'E' => error(Cursor::new(body)),
        b'G' => Body::CopyIn,
        b'H' => Body::CopyOut,
        b'W' => Body::CopyBoth,
        b'V' => Body::FunctionCallResponse,
        _ => Body::Aside,
    }
}

/// Only the code and the severity leave: the message's text may hold personal data.
fn error(mut cursor: Cursor<'_>) -> Body<'_> {
    let (mut state, mut fatal) = (None, false);
    while let Some(field) = cursor.u8().filter(|field| *field != 0) {
        let Some(value) = cursor.text() else { break };
        match field {
            b'C' => state = value.first_chunk().copied(),
            // V is S untranslated; servers before 9.6 have no V.
            b'S' | b'V' => fatal |= matches!(value, b"FATAL" | b"PANIC"),
            _ => {}
        }
    }
    Body::Error { state, fatal }
}
