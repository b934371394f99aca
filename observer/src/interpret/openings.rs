//! Connections that were opened a moment ago: who is at the other end is told after this one.
//!
//! ```text
//!   opened ─▶ fresh ── the rest of its moment was taken: has the other end a name? ──▶ counted
//!                          └─ no ─▶ nameless ── the client calls it, or GRACE is over ──▶ counted
//! ```
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::connections::Context;
use crate::correlate::Connection;
use crate::export::Symbol;
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;

/// Nanoseconds in which a client has said whom it calls: it does so right after the handshake.
const GRACE: u64 = 100_000_000;

/// Those that wait, in a bounded number.
pub(super) struct Openings {
    /// The oldest first.
    fresh: VecDeque<Opening>,
    nameless: HashMap<ConnectionKey, Opening, foldhash::fast::RandomState>,
    /// Keys of the nameless, the oldest first; some have been called by now.
    order: VecDeque<(Timestamp, ConnectionKey)>,
    limit: usize,
}

/// A connect that succeeded.
pub(super) struct Opening {
    time: Timestamp,
    pub(super) connection: Arc<Connection>,
    pub(super) service: Symbol,
}

impl Opening {
    pub(super) fn new(time: Timestamp, connection: Arc<Connection>, context: Context) -> Self {
        Self {
            time,
            connection,
            service: context.service,
        }
    }
}

impl Openings {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            fresh: VecDeque::new(),
            nameless: HashMap::default(),
            order: VecDeque::new(),
            limit,
        }
    }

    /// One more waits; past the bound the oldest does not any more.
    pub(super) fn wait(&mut self, opening: Opening) -> Option<Opening> {
        self.fresh.push_back(opening);
        let is_over = self.fresh.len() > self.limit;
        is_over.then(|| self.fresh.pop_front()).flatten()
    }

    /// The oldest of those that were opened at `until` or before.
    pub(super) fn due(&mut self, until: Timestamp) -> Option<Opening> {
        self.fresh.pop_front_if(|first| first.time <= until)
    }

    /// The other end has no name: it may be called by one. Given back where there is no room.
    pub(super) fn listen(&mut self, opening: Opening) -> Option<Opening> {
        if self.order.len() >= self.limit {
            return Some(opening);
        }
        let key = opening.connection.key;
        self.order.push_back((opening.time, key));
        self.nameless.insert(key, opening)
    }

    /// The one that is called now.
    pub(super) fn called(&mut self, key: ConnectionKey) -> Option<Opening> {
        self.nameless.remove(&key).or_else(|| {
            let mut fresh = self.fresh.iter();
            let place = fresh.rposition(|opening| opening.connection.key == key)?;
            self.fresh.remove(place)
        })
    }

    /// One of those whom nobody called.
    pub(super) fn overdue(&mut self, until: Timestamp) -> Option<Opening> {
        let is_over = |(time, _): &mut (Timestamp, _)| time.0.saturating_add(GRACE) <= until.0;
        while let Some((_, key)) = self.order.pop_front_if(is_over) {
            let opening = self.nameless.remove(&key);
            if opening.is_some() {
                return opening;
            }
        }
        None
    }
}
