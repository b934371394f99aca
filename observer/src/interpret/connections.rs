//! What is known of each connection while it lives; gauges are balanced when it is gone.
#![forbid(unsafe_code)]

use hashbrown::HashMap;
use schnellru::{LruMap, UnlimitedCompact};

use super::{Peer, fact};
use crate::decode::Side;
use crate::export::{Fact, Metric, Symbol};
use crate::reassemble::ConnectionKey;

/// What is known of a connection.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is learnt by itself, and none says anything of another"
)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) service: Symbol,
    pub(super) peer: Symbol,
    /// The peer is a host of which nothing but its address is known, and what this end calls it.
    pub(super) is_external: bool,
    pub(super) host: Option<Symbol>,
    pub(super) vantage: Side,
    /// The cgroup of the socket; 0 where it is not known.
    pub(super) cgroup: u64,
    /// The other end's, where that is observed.
    pub(super) other_end: Option<u64>,
    /// This is the server's end of what counts at the client's, on another node.
    pub(super) elsewhere: bool,
    /// It spoke PostgreSQL before the agent came.
    pub(super) joined_sql: bool,
    /// A pooler's way to the database: what passes here was counted before.
    pub(super) hop: bool,
    /// A way to a pooler: what passes here passes on to the database.
    pub(super) front: bool,
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
            is_external: false,
            host: None,
            vantage: Side::Server,
            cgroup: 0,
            other_end: None,
            elsewhere: false,
            joined_sql: false,
            hop: false,
            front: false,
            in_flight: 0,
            database: None,
        }
    }
}

impl Context {
    /// The other end is this one.
    pub(super) fn meet(&mut self, peer: Peer, external: Symbol) {
        (self.peer, self.is_external) = match peer {
            Peer::Named(peer) => (peer, false),
            Peer::External => (self.host.unwrap_or(external), true),
        };
    }

    /// Whether the peer's name is still to be heard from this end, which is its client.
    pub(super) fn is_nameless(&self) -> bool {
        self.is_external && self.host.is_none() && self.vantage == Side::Client
    }

    /// Who asks and who answers, where that is counted at this end.
    pub(super) fn edge(&self) -> Option<[Symbol; 2]> {
        match self.vantage {
            Side::Client => Some([self.service, self.peer]),
            Side::Server if self.elsewhere || self.other_end.is_some() => None,
            Side::Server => Some([self.peer, self.service]),
        }
    }

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

    /// The cgroup that is a client of PostgreSQL here, of a server other than itself.
    fn speaks_sql(&self) -> Option<u64> {
        let is_client = self.vantage == Side::Client
            && self.other_end != Some(self.cgroup)
            && (self.database.is_some() || self.joined_sql);
        Some(self.cgroup).filter(|cgroup| is_client && *cgroup != 0)
    }

    /// What the gauges show of it.
    fn weight(&self) -> (Symbol, u32, Option<Symbol>) {
        (self.service, self.in_flight, self.counted_database())
    }

    /// The database whose connection this is, where that counts here.
    fn counted_database(&self) -> Option<Symbol> {
        self.database.filter(|_| !self.elsewhere)
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
        if let Some(database) = self.counted_database() {
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
    serving: Cgroups,
    /// Connections on which a cgroup is PostgreSQL's client, likewise.
    speaking: Cgroups,
}

/// On how many connections a cgroup has a part.
#[derive(Default)]
struct Cgroups(HashMap<u64, u32, foldhash::fast::RandomState>);

impl Cgroups {
    /// A connection's cgroup is another one, or has become known, or is not there any more.
    fn follow(&mut self, before: Option<u64>, after: Option<u64>) {
        if before == after {
            return;
        }
        if let Some(cgroup) = after {
            *self.0.entry(cgroup).or_default() += 1;
        }
        if let Some(cgroup) = before
            && let Some(count) = self.0.get_mut(&cgroup)
        {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&cgroup);
            }
        }
    }

    fn contains(&self, cgroup: u64) -> bool {
        self.0.contains_key(&cgroup)
    }
}

impl Connections {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            table: LruMap::with_hasher(UnlimitedCompact, foldhash::fast::RandomState::default()),
            limit: limit.max(1),
            serving: Cgroups::default(),
            speaking: Cgroups::default(),
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
        self.follow(&before, Some(&after));
        Some(after)
    }

    /// Who is at the other end of a connection that may be gone.
    pub(super) fn meet(&mut self, key: ConnectionKey, peer: Peer, external: Symbol) {
        if let Some(context) = self.table.get(&key) {
            context.meet(peer, external);
        }
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
            && self.serving.contains(context.cgroup);
        context.hop
    }

    /// Whether an end that is observed of a connection is this one.
    pub(super) fn is_seen_at(&mut self, key: ConnectionKey, side: Side) -> bool {
        let context = self.table.get(&key);
        context.is_some_and(|context| context.vantage == side || context.other_end.is_some())
    }

    /// Whether a connection leads to a pooler that is seen to speak to a database; once it did, it
    /// does until it ends.
    pub(super) fn is_front(&mut self, key: ConnectionKey) -> bool {
        let Some(context) = self.table.get(&key) else {
            return false;
        };
        let pooler = context.serves_sql();
        context.front |= pooler.is_some_and(|pooler| self.speaking.contains(pooler));
        context.front
    }

    /// Takes a connection out of the gauges.
    fn leave(&mut self, context: &Context, out: &mut dyn FnMut(Fact)) {
        context.weigh(-1.0, out);
        self.follow(context, None);
    }

    fn follow(&mut self, before: &Context, after: Option<&Context>) {
        let serves = after.and_then(Context::serves_sql);
        self.serving.follow(before.serves_sql(), serves);
        let speaks = after.and_then(Context::speaks_sql);
        self.speaking.follow(before.speaks_sql(), speaks);
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
