//! What one direction must know of the other.

use super::stream::{Next, Raw};
use super::{Body, Message, backend, frontend};
use crate::decode::{Lost, Side};
use crate::time::Timestamp;

/// What both directions share.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Who spoke last.
    pub(super) last: Option<Side>,
    /// Requests that a `ReadyForQuery` will answer.
    pub(super) awaiting: u32,
    /// Whether the server's next byte answers an `SSLRequest` or `GSSENCRequest`.
    pub(super) negotiating: bool,
    /// Whether a message was ever decoded.
    pub(super) begun: bool,
    /// Whether the server's last word was `ReadyForQuery`.
    pub(super) idle: bool,
    /// When the server's end of turn, out of step, was last looked for.
    pub(super) tail: Timestamp,
    /// Whether the client's turn, out of step, may still be a beginning.
    pub(super) candidate: bool,
    /// From here on nothing is ours.
    pub(super) opaque: Option<Lost>,
    /// Whether the last request awaited is a `Query`.
    query: bool,
    /// Whether the server takes COPY data and so ignores `Sync`.
    copying: bool,
}

impl Link {
    /// Nothing is awaited any more.
    pub(super) fn restart(&mut self) {
        self.awaiting = 0;
        self.copying = false;
    }

    /// Hands on a client's message.
    pub(super) fn client(&mut self, raw: Raw<'_>, out: &mut dyn FnMut(Message<'_>)) -> Next {
        let body = frontend::read(raw.kind, raw.body, raw.condensed);
        self.begun = true;
        let next = match body {
            Body::SslRequest | Body::GssEncRequest => {
                self.negotiating = true;
                Next::Untagged
            }
            Body::Startup(startup) if startup.replication => Next::Opaque(Lost::Upgraded),
            Body::Query(_) | Body::FunctionCall => {
                self.awaiting = self.awaiting.saturating_add(1);
                self.query = true;
                Next::Tagged
            }
            Body::Sync if !self.copying => {
                self.awaiting = self.awaiting.saturating_add(1);
                self.query = false;
                Next::Tagged
            }
            Body::CopyEnd => {
                self.copying = false;
                Next::Tagged
            }
            _ => Next::Tagged,
        };
        out(Message {
            side: Side::Client,
            span: raw.span,
            body,
        });
        next
    }

    /// Hands on a server's message.
    pub(super) fn server(&mut self, raw: Raw<'_>, out: &mut dyn FnMut(Message<'_>)) -> Next {
        let body = backend::read(raw.kind, raw.body, raw.condensed);
        self.begun = true;
        let mut next = Next::Tagged;
        match body {
            Body::Aside => {}
            Body::ReadyForQuery(_) => {
                self.awaiting = self.awaiting.saturating_sub(1);
                self.idle = true;
                self.copying = false;
            }
            Body::CopyIn => {
                // A Sync sent with the Execute is read, and ignored, as if it were COPY data.
                self.awaiting = u32::from(self.query);
                self.copying = true;
                self.idle = false;
            }
            Body::CopyBoth => next = Next::Opaque(Lost::Upgraded),
            _ => self.idle = false,
        }
        out(Message {
            side: Side::Server,
            span: raw.span,
            body,
        });
        next
    }
}
