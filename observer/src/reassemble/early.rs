//! Payload that arrived on a listener's socket, before the connection it belongs to existed.
//!
//! With deferred accept, TCP Fast Open or data on the handshake's last segment, the first request
//! passes the listener. Its record waits here for the child's identity. Bytes enter the ledger
//! when they leave this table, so that a segment sent again to a busy listener counts once.

use std::collections::VecDeque;

use observer_ebpf::Identity;

use super::{Counts, Limits};
use crate::ledger::{Fate, Ledger};
use crate::time::Timestamp;

/// How far behind a connection's first byte an early segment can plausibly begin.
const WINDOW: u32 = 1 << 24;

/// A segment that waits for its connection.
pub(super) struct Waiting {
    ends: Ends,
    /// TCP sequence number of its first byte.
    sequence: u32,
    pub(super) time: Timestamp,
    pub(super) length: u32,
    pub(super) bytes: Box<[u8]>,
}

/// Both addresses and ports.
type Ends = ([u8; 16], [u8; 16], u16, u16);

fn ends(identity: &Identity) -> Ends {
    let i = identity;
    (i.local, i.remote, i.local_port, i.remote_port)
}

/// A small bounded table, searched only while it is not empty.
#[derive(Default)]
pub(super) struct Early {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

impl Early {
    /// Whether it holds no more than it may.
    pub(super) fn is_within(&self, limits: &Limits) -> bool {
        let bytes: usize = self.waiting.iter().map(|w| w.bytes.len()).sum();
        self.waiting.len() <= limits.early_segments && bytes <= limits.early_bytes
    }

    /// Keeps a segment, unless it is here already.
    pub(super) fn keep(
        &mut self,
        identity: &Identity,
        position: u64,
        time: Timestamp,
        length: u32,
        bytes: &[u8],
        (limits, ledger, counts): (&Limits, &Ledger, &mut Counts),
    ) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "sequence numbers are positions modulo 2^32"
        )]
        let sequence = identity.received_first.wrapping_add(position as u32);
        let new = Waiting {
            ends: ends(identity),
            sequence,
            time,
            length,
            bytes: bytes.into(),
        };
        let known = self
            .waiting
            .iter()
            .any(|w| w.ends == new.ends && w.sequence == sequence && w.length >= length);
        if known {
            ledger.receive(u64::from(length));
            ledger.settle(Fate::SkippedRepeated, u64::from(length));
            return;
        }
        self.bytes += bytes.len();
        self.waiting.push_back(new);
        while self.waiting.len() > limits.early_segments || self.bytes > limits.early_bytes {
            counts.early_dropped += 1;
            self.drop_oldest(Fate::LostEvicted, ledger);
        }
    }

    /// Drops what arrived before `time`: had TCP taken it, its connection would be here. A repeat
    /// that comes when its connection is over already is such a segment.
    pub(super) fn expire(&mut self, time: Timestamp, ledger: &Ledger) {
        while self.waiting.front().is_some_and(|w| w.time < time) {
            self.drop_oldest(Fate::SkippedStray, ledger);
        }
    }

    fn drop_oldest(&mut self, fate: Fate, ledger: &Ledger) {
        if let Some(waiting) = self.waiting.pop_front() {
            self.bytes -= waiting.bytes.len();
            ledger.receive(u64::from(waiting.length));
            ledger.settle(fate, u64::from(waiting.length));
        }
    }

    /// What waits for a connection, by position.
    pub(super) fn join(&mut self, identity: &Identity) -> Vec<(u64, Waiting)> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let ends = ends(identity);
        let position = |w: &Waiting| w.sequence.wrapping_sub(identity.received_first);
        let mut joined = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            // The same addresses with another sequence are another connection.
            if waiting.ends == ends && position(&waiting) < WINDOW {
                self.bytes -= waiting.bytes.len();
                joined.push((u64::from(position(&waiting)), waiting));
            } else {
                self.waiting.push_back(waiting);
            }
        }
        joined.sort_by_key(|(position, _)| *position);
        joined
    }
}
