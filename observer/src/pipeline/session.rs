//! One connection from its first event to its last: who it is, what it speaks, who decodes it.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use observer_ebpf::{Identity, Opener, Protocol, Reason, Verdict};
use zerocopy::IntoBytes as _;

use super::VerdictSink;
use super::conversation::{Conversation, Protocols};
use crate::correlate::http::AbortReason;
use crate::correlate::vantage::{Observed, OtherEnd, Registration, Vantages, Whereabouts};
use crate::correlate::{Body, Connection, Exchange};
use crate::decode::Side;
use crate::ledger::{Fate, Ledger};
use crate::reassemble::{ConnectionKey, Event, What};
use crate::time::Timestamp;
use detecting::Detecting;

mod data;
mod detecting;
#[cfg(test)]
pub(super) mod fake;
mod settle;
#[cfg(test)]
mod tests;

/// Nanoseconds between two reports, or two questions, of one connection.
const INTERVAL: u64 = 1_000_000_000;

/// Connections that are waited for at most.
const WAITING: usize = 4096;

/// What all sessions of a worker share.
pub(super) struct Context<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) protocols: &'a dyn Protocols,
    pub(super) verdicts: &'a dyn VerdictSink,
    pub(super) vantages: &'a Arc<Vantages>,
    /// Of what is known of other nodes, and of names.
    pub(super) generation: u64,
    pub(super) out: &'a mut Vec<Exchange>,
    /// What was said of clients that nobody knows, which does not count here as far as it counts once.
    pub(super) unattributed: &'a mut u64,
    /// Connections whose client nobody knows yet; of those beyond [`WAITING`] each is looked at when
    /// it says something.
    pub(super) waiting: &'a mut Vec<ConnectionKey>,
    pub(super) detect_bytes: usize,
    pub(super) detect_turns: u32,
}

/// A connection as the pipeline knows it.
#[derive(Default)]
pub(super) struct Session {
    identity: Option<Identity>,
    place: Option<Registration>,
    /// Whether its peer is observed on another node, and the generation that says so.
    elsewhere: Whereabouts,
    generation: u64,
    /// The server has let a PostgreSQL client in.
    serves_sql: bool,
    /// Which end this is, once the SYN or the grammar told.
    vantage: Option<Side>,
    /// What [`Body::Connection`] last said.
    told: Option<Told>,
    /// See [`Connection::joined_sql`].
    joined_sql: bool,
    state: State,
    retransmitted: u64,
    retransmitted_told: u64,
    asked: u64,
}

/// What may change of what is said of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    vantage: Side,
    other_end: Option<u64>,
    elsewhere: bool,
    joined_sql: bool,
}

enum State {
    Detecting(Detecting),
    Spoken(Spoken),
    /// Every further byte has this fate.
    Settled(Fate),
}

impl Default for State {
    fn default() -> Self {
        Self::Detecting(Detecting::default())
    }
}

struct Spoken {
    conversation: Box<dyn Conversation>,
    protocol: Protocol,
    /// Bytes the decoder holds.
    held: u64,
    /// It has said something, so it is what it was taken for.
    confirmed: bool,
    turns: u32,
}

/// What a connection is taken for.
pub(super) enum Standing<'a> {
    /// Not known yet; these bytes of its present turn may still tell.
    Detecting(&'a [u8]),
    /// It is decoded.
    Spoken,
    /// It is not, for good.
    Settled,
}

impl Session {
    /// What it is taken for.
    pub(super) fn standing(&self) -> Standing<'_> {
        match &self.state {
            State::Detecting(detecting) => Standing::Detecting(detecting.kept()),
            State::Spoken(_) => Standing::Spoken,
            State::Settled(_) => Standing::Settled,
        }
    }

    /// Who of the two this end is, as its decoder is told.
    pub(super) fn side(&self) -> Side {
        self.vantage.unwrap_or(Side::Client)
    }

    /// Takes the connection's next event.
    pub(super) fn on(&mut self, event: Event<'_>, context: &mut Context<'_>) {
        let (key, time) = (event.connection, event.time);
        match event.what {
            What::Data(direction, input, _) => self.data(&event, direction, input, context),
            What::Identified(identity) => self.identify(key, time, identity, context),
            What::Opened => self.say(key, time, Body::Opened, context),
            What::Accepted => self.say(key, time, Body::Accepted, context),
            What::Failed(reason) => self.say(key, time, Body::Failed(reason), context),
            What::Finished(direction) => self.finished(key, time, direction, context),
            What::Retransmitted => {
                self.retransmitted += 1;
                if time.0.saturating_sub(self.retransmitted_told) >= INTERVAL {
                    self.tell_retransmitted(key, time, context);
                }
            }
            What::RoundTrip(microseconds) => {
                self.tell_retransmitted(key, time, context);
                self.say(key, time, Body::RoundTrip(microseconds), context);
            }
            What::Closed(reason) => {
                self.end(
                    key,
                    time,
                    abort_reason(reason),
                    Fate::SkippedUndecided,
                    context,
                );
                self.say(key, time, Body::Closed(reason), context);
            }
            What::Evicted => {
                self.end(key, time, AbortReason::Evicted, Fate::LostEvicted, context);
                self.release_other_end(context);
                if self.told.is_some() {
                    self.say(key, time, Body::Evicted, context);
                }
            }
        }
    }

    /// The cgroup of its end, where it is known.
    pub(super) fn cgroup(&self) -> Option<u64> {
        self.identity.map(|identity| identity.cgroup)
    }

    fn identify(
        &mut self,
        key: ConnectionKey,
        time: Timestamp,
        identity: &Identity,
        context: &mut Context<'_>,
    ) {
        let known = self.identity.replace(*identity);
        if known.is_some_and(|known| same(&known, identity)) {
            return;
        }
        if let State::Detecting(detecting) = &mut self.state {
            // What came before its identity, or before the agent, was joined.
            detecting.joined |= identity.opener == Opener::Unknown as u8;
        }
        self.vantage = Connection::vantage_of(identity).or(self.vantage);
        self.look_elsewhere(key, identity, context);
        if !self
            .place
            .as_ref()
            .is_some_and(|place| place.is_of(identity))
        {
            self.place = None;
            self.place = Some(context.vantages.register(key, identity));
        }
        if known.is_some() || self.told.is_some() {
            self.told = None;
            self.tell(key, time, context);
        }
    }

    fn tell_retransmitted(
        &mut self,
        key: ConnectionKey,
        time: Timestamp,
        context: &mut Context<'_>,
    ) {
        if self.retransmitted > 0 {
            self.retransmitted_told = time.0;
            let body = Body::Retransmitted(std::mem::take(&mut self.retransmitted));
            self.say(key, time, body, context);
        }
    }

    fn say(
        &mut self,
        connection: ConnectionKey,
        ended: Timestamp,
        body: Body,
        context: &mut Context<'_>,
    ) {
        if self.told.is_none() {
            self.tell(connection, ended, context);
        }
        context.out.push(Exchange {
            connection,
            ended,
            body,
        });
    }

    /// Says who the connection is, as far as it is known.
    fn tell(&mut self, key: ConnectionKey, ended: Timestamp, context: &mut Context<'_>) {
        let identity = self.identity.unwrap_or_default();
        let now = Told {
            vantage: self.vantage.unwrap_or_else(|| likely_vantage(&identity)),
            other_end: self.other_end().map(|end| end.cgroup),
            elsewhere: self.is_counted_elsewhere(),
            joined_sql: self.joined_sql,
        };
        if self.told.replace(now) == Some(now) {
            return;
        }
        context.out.push(Exchange {
            connection: key,
            ended,
            body: Body::Connection(Arc::new(Connection {
                key,
                identity,
                vantage: now.vantage,
                other_end: now.other_end,
                elsewhere: now.elsewhere,
                joined_sql: now.joined_sql,
            })),
        });
    }

    /// Where the other end is observed.
    fn observed(&self, context: &Context<'_>) -> Observed {
        if self.other_end().is_some() {
            Observed::Here
        } else if self.waits() {
            Observed::Unknown
        } else if self.elsewhere == Whereabouts::Observed {
            // The other node cannot know whether this end is a pooler's.
            let is_told = self.serves_sql || self.joined_sql;
            Observed::Elsewhere {
                needed: !is_told || !context.vantages.clients_own(),
            }
        } else {
            Observed::Nowhere
        }
    }

    /// Whether this is the server's end of a connection that counts on another node, or may.
    fn is_counted_elsewhere(&self) -> bool {
        self.elsewhere != Whereabouts::Unobserved
            && self.side() == Side::Server
            && self.other_end().is_none()
    }

    fn look_elsewhere(
        &mut self,
        key: ConnectionKey,
        identity: &Identity,
        context: &mut Context<'_>,
    ) {
        let waited = self.waits();
        // Nobody else counts for a client's end.
        self.elsewhere = if self.vantage == Some(Side::Client) {
            Whereabouts::Unobserved
        } else {
            let peer = IpAddr::V6(Ipv6Addr::from(identity.remote)).to_canonical();
            context.vantages.elsewhere().observes(peer)
        };
        if self.waits() && !waited && context.waiting.len() < WAITING {
            context.waiting.push(key);
        }
        self.generation = context.generation;
    }

    /// Whether nobody knows its client yet.
    pub(super) fn waits(&self) -> bool {
        self.elsewhere == Whereabouts::Unknown
    }

    /// Somebody is known who was not: the connection may count elsewhere, or its ends have names.
    pub(super) fn catch_up(
        &mut self,
        key: ConnectionKey,
        time: Timestamp,
        context: &mut Context<'_>,
    ) {
        self.generation = context.generation;
        if let Some(identity) = self.identity {
            self.look_elsewhere(key, &identity, context);
        }
        if self.told.take().is_some() {
            self.tell(key, time, context);
        }
    }

    fn other_end(&self) -> Option<OtherEnd> {
        self.place.as_ref().and_then(Registration::other_end)
    }

    /// Has the kernel treat the connection accordingly, unless it does already.
    fn verdict(event: &Event<'_>, protocol: Protocol, context: &Context<'_>) {
        if event.protocol != protocol {
            let verdict = Verdict {
                protocol: protocol as u8,
                ..Verdict::default()
            };
            context.verdicts.set(event.connection, verdict);
        }
    }

    /// Data of a connection whose identity was lost or forgotten: asks for it, now and then.
    fn ask(&mut self, event: &Event<'_>, context: &Context<'_>) {
        if self.asked == 0 || event.time.0.saturating_sub(self.asked) >= INTERVAL {
            self.asked = event.time.0.max(1);
            let verdict = Verdict {
                tell: 1,
                ..Verdict::default()
            };
            context.verdicts.set(event.connection, verdict);
        }
    }

    /// This end is forgotten: the other one, which was silent for its sake, is to be seen again.
    fn release_other_end(&mut self, context: &Context<'_>) {
        if let (State::Spoken(spoken), Some(other)) = (&self.state, self.other_end()) {
            let verdict = Verdict {
                protocol: spoken.protocol as u8,
                ..Verdict::default()
            };
            context.verdicts.set(other.key, verdict);
        }
        self.place = None;
    }
}

/// Which end it is while neither the SYN nor the grammar tells: servers listen on the lower port.
fn likely_vantage(identity: &Identity) -> Side {
    if identity.local_port < identity.remote_port {
        Side::Server
    } else {
        Side::Client
    }
}

fn abort_reason(reason: Reason) -> AbortReason {
    match reason {
        Reason::ResetByPeer | Reason::ResetByUs | Reason::TimedOut => AbortReason::Reset,
        _ => AbortReason::Closed,
    }
}

/// Whether two identities differ only in how far the connection has come.
fn same(a: &Identity, b: &Identity) -> bool {
    let normal = |identity: &Identity| Identity {
        received: 0,
        sent: 0,
        ..*identity
    };
    normal(a).as_bytes() == normal(b).as_bytes()
}
