//! What is known of each connection while it lives; gauges are balanced when it is gone.
#![forbid(unsafe_code)]

use schnellru::{LruMap, UnlimitedCompact};

use super::fact;
use crate::decode::Side;
use crate::export::{Fact, Metric, Symbol};
use crate::reassemble::ConnectionKey;

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) service: Symbol,
    pub(super) peer: Symbol,
    pub(super) vantage: Side,
    /// Requests that began at the server's end and have no answer yet.
    pub(super) in_flight: u32,
    /// The database it leads to, once it is known to lead to one.
    pub(super) database: Option<Symbol>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            service: Symbol::UNKNOWN,
            peer: Symbol::UNKNOWN,
            vantage: Side::Server,
            in_flight: 0,
            database: None,
        }
    }
}

impl Context {
    /// Takes the connection out of the gauges.
    pub(super) fn leave(&self, out: &mut dyn FnMut(Fact)) {
        self.weigh(-1.0, out);
    }

    /// Puts it into them, with what it holds.
    pub(super) fn enter(&self, out: &mut dyn FnMut(Fact)) {
        self.weigh(1.0, out);
    }

    fn weigh(&self, sign: f64, out: &mut dyn FnMut(Fact)) {
        if self.in_flight > 0 {
            let requests = sign * f64::from(self.in_flight);
            out(fact(
                Metric::HttpRequestsInFlight,
                &[self.service],
                requests,
            ));
        }
        if let Some(database) = self.database {
            out(fact(
                Metric::DatabaseConnectionsActive,
                &[database, self.service],
                sign,
            ));
        }
    }
}

/// The connections, in a bounded number: the one not heard of for the longest is forgotten.
pub(super) struct Connections {
    table: LruMap<ConnectionKey, Context, UnlimitedCompact, foldhash::fast::RandomState>,
    limit: usize,
}

impl Connections {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            table: LruMap::with_hasher(UnlimitedCompact, foldhash::fast::RandomState::default()),
            limit: limit.max(1),
        }
    }

    /// A connection's context, a new one if it was never heard of; `None` only without memory.
    pub(super) fn get(
        &mut self,
        key: ConnectionKey,
        out: &mut dyn FnMut(Fact),
    ) -> Option<&mut Context> {
        if self.table.len() >= self.limit
            && self.table.peek(&key).is_none()
            && let Some((_, oldest)) = self.table.pop_oldest()
        {
            oldest.leave(out);
        }
        self.table.get_or_insert(key, Context::default)
    }

    /// The connection is gone; what was known of it.
    pub(super) fn remove(
        &mut self,
        key: ConnectionKey,
        out: &mut dyn FnMut(Fact),
    ) -> Option<Context> {
        let context = self.table.remove(&key)?;
        context.leave(out);
        Some(context)
    }
}
