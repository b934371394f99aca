//! What is known of each connection while it lives; gauges are balanced when it is gone.
#![forbid(unsafe_code)]

use hashbrown::HashMap;
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
    /// The cgroup of the socket; 0 where it is not known.
    pub(super) cgroup: u64,
    /// The other end's, where that is observed.
    pub(super) other_end: Option<u64>,
    /// It spoke PostgreSQL before the agent came.
    pub(super) joined_sql: bool,
    /// A pooler's way to the database: what passes here was counted before.
    pub(super) hop: bool,
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
            cgroup: 0,
            other_end: None,
            joined_sql: false,
            hop: false,
            in_flight: 0,
            database: None,
        }
    }
}

impl Context {
    /// The cgroup that serves PostgreSQL here, as far as it is known: a server has answered, or
    /// had before the agent came.
    fn serves_sql(&self) -> Option<u64> {
        if self.database.is_none() && !self.joined_sql {
            return None;
        }
        let cgroup = match self.vantage {
            Side::Server => Some(self.cgroup),
            Side::Client => self.other_end,
        };
        cgroup.filter(|cgroup| *cgroup != 0)
    }

    /// What the gauges show of it.
    fn weight(&self) -> (Symbol, u32, Option<Symbol>) {
        (self.service, self.in_flight, self.database)
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
    /// Connections on which a cgroup serves PostgreSQL; as many entries as connections at most.
    serving: HashMap<u64, u32, foldhash::fast::RandomState>,
}

impl Connections {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            table: LruMap::with_hasher(UnlimitedCompact, foldhash::fast::RandomState::default()),
            limit: limit.max(1),
            serving: HashMap::default(),
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
            self.leave(&oldest, out);
        }
        self.table.get_or_insert(key, Context::default)
    }

    /// Changes what is known of a connection, and the gauges with it; `None` only without memory.
    pub(super) fn change(
        &mut self,
        key: ConnectionKey,
        out: &mut dyn FnMut(Fact),
        change: impl FnOnce(&mut Context),
    ) -> Option<Context> {
        let context = self.get(key, out)?;
        let before = *context;
        change(context);
        let after = *context;
        if before.weight() != after.weight() {
            before.weigh(-1.0, out);
            after.weigh(1.0, out);
        }
        self.serve(before.serves_sql(), after.serves_sql());
        Some(after)
    }

    /// Whether a connection is a pooler's way to the database: of a workload that serves
    /// PostgreSQL itself, to another one. Once it was, it is until it ends: the last client may
    /// have gone before what the pooler does for it.
    pub(super) fn is_hop(&mut self, key: ConnectionKey) -> bool {
        let Some(context) = self.table.get(&key) else {
            return false;
        };
        context.hop |= context.vantage == Side::Client
            && context.other_end != Some(context.cgroup)
            && self.serving.contains_key(&context.cgroup);
        context.hop
    }

    /// Takes a connection out of the gauges.
    fn leave(&mut self, context: &Context, out: &mut dyn FnMut(Fact)) {
        context.weigh(-1.0, out);
        self.serve(context.serves_sql(), None);
    }

    /// A connection's serving cgroup is another one, or has become known, or is not there any more.
    fn serve(&mut self, before: Option<u64>, after: Option<u64>) {
        if before == after {
            return;
        }
        if let Some(cgroup) = after {
            *self.serving.entry(cgroup).or_default() += 1;
        }
        if let Some(cgroup) = before
            && let Some(count) = self.serving.get_mut(&cgroup)
        {
            *count -= 1;
            if *count == 0 {
                self.serving.remove(&cgroup);
            }
        }
    }

    /// The connection is gone; what was known of it.
    pub(super) fn remove(
        &mut self,
        key: ConnectionKey,
        out: &mut dyn FnMut(Fact),
    ) -> Option<Context> {
        let context = self.table.remove(&key)?;
        self.leave(&context, out);
        Some(context)
    }
}
