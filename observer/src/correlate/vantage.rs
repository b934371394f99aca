//! Which end of a connection is seen, and whether the other one is seen too.
//!
//! A connection is the pair of its first sequence numbers: what one end sent first is what the
//! other received first, on loopback, between pods and through address translation. Where both
//! ends are observed on this node, HTTP is decoded at both (two families of metrics), PostgreSQL
//! and Redis at the client's end alone, so that nothing counts twice.
//!
//! ```text
//!   node 1                          node 2
//!   client's end, observed ───────▶ server's end: Elsewhere says by the client's address
//!   counts                          does not        that it is observed on node 1
//! ```
//!
//! A client whose address nobody knows may be a pod that has just begun, of which the other node
//! knows before this one does. Until that is known it is taken for observed: what it asks for is
//! missed here rather than counted twice, and how much that is, is counted.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use observer_ebpf::{Identity, Opener, Protocol};

use crate::decode::Side;
use crate::reassemble::ConnectionKey;

/// Whether a client is observed on another node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whereabouts {
    /// It is not.
    #[default]
    Unobserved,
    /// It is.
    Observed,
    /// Nobody knows its address yet.
    Unknown,
}

/// Who is observed on other nodes, by agents that select alike.
pub trait Elsewhere: Send + Sync {
    /// Whether a client at this address is.
    fn observes(&self, client: IpAddr) -> Whereabouts;

    /// Another number once an answer may be another one, or somebody may have another name.
    fn generation(&self) -> u64;
}

/// Nobody is.
impl Elsewhere for () {
    fn observes(&self, _client: IpAddr) -> Whereabouts {
        Whereabouts::Unobserved
    }

    fn generation(&self) -> u64 {
        0
    }
}

/// Where the other end of a connection is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Nowhere.
    Nowhere,
    /// On this node.
    Here,
    /// On another one.
    Elsewhere {
        /// Although nothing counts here, this end is read: it is not known yet that it serves, by
        /// which poolers are known, or it owns the facts.
        needed: bool,
    },
    /// On another one, or nowhere.
    Unknown,
}

/// Whether a connection is decoded at this end.
#[must_use]
pub fn decoded_here(protocol: Protocol, vantage: Side, other: Observed) -> bool {
    let counted_once = matches!(protocol, Protocol::Postgres | Protocol::Redis);
    match other {
        _ if !counted_once || vantage == Side::Client => true,
        // What is unknown is read on, to be in step once it is known.
        Observed::Nowhere | Observed::Unknown => true,
        Observed::Here => false,
        Observed::Elsewhere { needed } => needed && protocol == Protocol::Postgres,
    }
}

/// First sequence numbers, as one end sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Firsts {
    sent: u32,
    received: u32,
}

/// A registered end that no other end has met, or that has.
struct End {
    key: ConnectionKey,
    /// Its SYN was not seen, so `sent` may be one too low.
    unsure: bool,
    ends: Arc<Ends>,
}

/// Both ends of a connection.
#[derive(Debug, Default)]
struct Ends([Slot; 2]);

/// An end that is observed, or the place for one.
#[derive(Debug, Default)]
struct Slot {
    /// Its handle; 0 where it is not observed.
    key: AtomicU64,
    /// The cgroup of its socket.
    cgroup: AtomicU64,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherEnd {
    /// Its handle.
    pub key: ConnectionKey,
    /// The cgroup of its socket.
    pub cgroup: u64,
}

/// Every observed end on this node, shared by all workers.
///
/// Locked where a connection's identity becomes known and where it ends, never per record. As many
/// entries as the workers' bounded tables have connections.
pub struct Vantages {
    table: Mutex<HashMap<Firsts, End, foldhash::fast::RandomState>>,
    elsewhere: Box<dyn Elsewhere>,
    owner: Side,
}

impl Default for Vantages {
    fn default() -> Self {
        Self::new(Box::new(()), Side::Client)
    }
}

impl Vantages {
    /// With who is observed on other nodes, and the end that owns what a database's statements
    /// mean for the business.
    #[must_use]
    pub fn new(elsewhere: Box<dyn Elsewhere>, owner: Side) -> Self {
        Self {
            table: Mutex::default(),
            elsewhere,
            owner,
        }
    }

    /// Who is observed on other nodes.
    #[must_use]
    pub fn elsewhere(&self) -> &dyn Elsewhere {
        &*self.elsewhere
    }

    /// Whether the client of a database owns what its statements mean.
    #[must_use]
    pub fn clients_own(&self) -> bool {
        self.owner == Side::Client
    }

    /// Registers an end. Both ends' registrations learn of each other, whichever came first.
    #[must_use]
    pub fn register(self: &Arc<Self>, key: ConnectionKey, identity: &Identity) -> Registration {
        let firsts = Firsts {
            sent: identity.sent_first,
            received: identity.received_first,
        };
        let unsure = identity.opener == Opener::Unknown as u8;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let met = other_ends(firsts, unsure).find_map(|(other, only_if_unsure)| {
            let end = table.get(&other)?;
            let fits = end.key != key && (end.unsure || !only_if_unsure);
            let slot = fits.then(|| end.ends.enter(key, identity.cgroup)).flatten();
            slot.map(|slot| (Arc::clone(&end.ends), slot))
        });
        let (ends, slot) = met.unwrap_or_else(|| {
            let ends = Ends::default();
            let slot = ends.enter(key, identity.cgroup).unwrap_or_default();
            (Arc::new(ends), slot)
        });
        let end = End {
            key,
            unsure,
            ends: Arc::clone(&ends),
        };
        table.insert(firsts, end);
        drop(table);
        Registration {
            table: Arc::clone(self),
            firsts,
            key,
            ends,
            slot,
        }
    }

    /// Ends registered at this moment.
    #[must_use]
    pub fn len(&self) -> usize {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How the other end may see the same numbers, and whether only if it is unsure of its own.
fn other_ends(own: Firsts, unsure: bool) -> impl Iterator<Item = (Firsts, bool)> {
    let received = [own.sent, own.sent.wrapping_add(1)];
    let received = received.into_iter().take(1 + usize::from(unsure));
    received.flat_map(move |received| {
        [(own.received, false), (own.received.wrapping_sub(1), true)]
            .map(|(sent, only_if_unsure)| (Firsts { sent, received }, only_if_unsure))
    })
}

impl Ends {
    /// Takes the free slot, if there is one; called with the table locked.
    fn enter(&self, key: ConnectionKey, cgroup: u64) -> Option<usize> {
        let free = |slot: &Slot| slot.key.load(Ordering::Relaxed) == 0;
        let index = self.0.iter().position(free)?;
        let slot = self.0.get(index)?;
        slot.cgroup.store(cgroup, Ordering::Relaxed);
        // Who reads this key reads that cgroup.
        slot.key.store(key.0, Ordering::Release);
        Some(index)
    }
}

/// One end's place in [`Vantages`]; given up when dropped.
pub struct Registration {
    table: Arc<Vantages>,
    firsts: Firsts,
    key: ConnectionKey,
    ends: Arc<Ends>,
    slot: usize,
}

impl Registration {
    /// The other end, while it is observed on this node.
    #[inline]
    #[must_use]
    pub fn other_end(&self) -> Option<OtherEnd> {
        let slot = self.ends.0.get(1 - self.slot)?;
        match slot.key.load(Ordering::Acquire) {
            0 => None,
            key => Some(OtherEnd {
                key: ConnectionKey(key),
                cgroup: slot.cgroup.load(Ordering::Relaxed),
            }),
        }
    }

    /// Whether this is the place of these numbers.
    #[must_use]
    pub fn is_of(&self, identity: &Identity) -> bool {
        (self.firsts.sent, self.firsts.received) == (identity.sent_first, identity.received_first)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let table = &self.table.table;
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        if table
            .get(&self.firsts)
            .is_some_and(|end| end.key == self.key)
        {
            table.remove(&self.firsts);
        }
        if let Some(slot) = self.ends.0.get(self.slot) {
            slot.key.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: ConnectionKey = ConnectionKey(1);
    const SERVER: ConnectionKey = ConnectionKey(2);

    fn identity(sent_first: u32, received_first: u32, opener: Opener) -> Identity {
        Identity {
            sent_first,
            received_first,
            opener: opener as u8,
            ..Identity::default()
        }
    }

    /// Whether two ends meet, in both orders of arrival, and know each other's cgroup.
    fn meet(client: &Identity, server: &Identity) -> bool {
        let within = |cgroup, identity: &Identity| Identity {
            cgroup,
            ..*identity
        };
        let (client, server) = (&within(5, client), &within(7, server));
        let both = [true, false].map(|client_first| {
            let table = Arc::new(Vantages::default());
            let (client, server) = if client_first {
                let client = table.register(CLIENT, client);
                (client, table.register(SERVER, server))
            } else {
                let server = table.register(SERVER, server);
                (table.register(CLIENT, client), server)
            };
            let other = |end: &Registration| end.other_end().map(|end| (end.key, end.cgroup));
            let met = other(&client) == Some((SERVER, 7));
            assert_eq!(
                other(&server) == Some((CLIENT, 5)),
                met,
                "both know or none"
            );
            met
        });
        assert_eq!(both[0], both[1], "the order of arrival tells nothing");
        both[0]
    }

    #[test]
    fn two_ends_of_one_connection_meet() {
        use Opener::{Active, Passive, Unknown};
        let rows = [
            ("known openers", (10, 90, Active), (90, 10, Passive), true),
            (
                "joined late, exact",
                (10, 90, Unknown),
                (90, 10, Unknown),
                true,
            ),
            (
                "client one too low",
                (9, 90, Unknown),
                (90, 10, Unknown),
                true,
            ),
            (
                "server one too low",
                (10, 90, Unknown),
                (89, 10, Unknown),
                true,
            ),
            (
                "both one too low",
                (9, 90, Unknown),
                (89, 10, Unknown),
                true,
            ),
            (
                "numbers that wrap",
                (u32::MAX, 0, Unknown),
                (u32::MAX, 0, Unknown),
                true,
            ),
            ("one too high", (11, 90, Unknown), (90, 10, Unknown), false),
            (
                "a known opener is exact",
                (9, 90, Active),
                (90, 10, Passive),
                false,
            ),
            (
                "only the unsure end may be low",
                (9, 90, Active),
                (90, 10, Unknown),
                false,
            ),
            (
                "another connection",
                (10, 90, Active),
                (90, 11, Passive),
                false,
            ),
        ];
        for (name, client, server, expected) in rows {
            let client = identity(client.0, client.1, client.2);
            let server = identity(server.0, server.1, server.2);
            assert_eq!(meet(&client, &server), expected, "{name}");
        }
    }

    #[test]
    fn an_end_that_leaves_is_not_there_and_its_place_is_free() {
        let table = Arc::new(Vantages::default());
        let client = identity(10, 90, Opener::Active);
        let server = identity(90, 10, Opener::Passive);
        let first = table.register(CLIENT, &client);
        let second = table.register(SERVER, &server);
        drop(first);
        assert_eq!(second.other_end(), None);
        let again = table.register(CLIENT, &client);
        let key = |end: &Registration| end.other_end().map(|end| end.key);
        assert_eq!(key(&second), Some(CLIENT));
        assert_eq!(key(&again), Some(SERVER));
        drop((second, again));
        assert!(table.is_empty());
    }

    #[test]
    fn an_end_is_not_its_own_other_end() {
        let table = Arc::new(Vantages::default());
        let odd = identity(10, 10, Opener::Unknown);
        let first = table.register(CLIENT, &odd);
        let again = table.register(CLIENT, &odd);
        assert_eq!((first.other_end(), again.other_end()), (None, None));
    }

    #[test]
    fn sql_and_redis_count_at_the_clients_end_alone() {
        let needed = Observed::Elsewhere { needed: true };
        let known = Observed::Elsewhere { needed: false };
        let all = [Observed::Nowhere, Observed::Here, needed, known];
        // At the server's end, in that order; at the client's end always.
        for (protocol, at_the_server) in [
            (Protocol::Postgres, [true, false, true, false]),
            (Protocol::Redis, [true, false, false, false]),
            (Protocol::Http1, [true, true, true, true]),
        ] {
            for (other, decoded) in all.into_iter().zip(at_the_server) {
                let row = format!("{protocol:?} {other:?}");
                assert_eq!(
                    decoded_here(protocol, Side::Server, other),
                    decoded,
                    "{row}"
                );
                assert!(decoded_here(protocol, Side::Client, other), "{row}");
            }
        }
    }
}
