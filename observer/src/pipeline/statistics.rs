//! What a worker does, as numbers that scrapes read.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::reassemble::Counts;

/// A number that one thread writes and any reads.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn add(&self, value: u64) {
        self.set(self.get().wrapping_add(value));
    }
}

/// One worker's numbers; written once per poll.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Records read.
    pub records: Number,
    /// Of them, those that were none: a bug of ours, or a damaged recording.
    pub malformed: Number,
    /// Process records among them.
    pub processes: Number,
    /// Exchanges and connection events handed on.
    pub exchanges: Number,
    /// What connections said whose client nobody knows yet and another node may observe: statements
    /// and commands do not count here, and requests are not in the service graph.
    pub unattributed: Number,
    /// Polls that found records.
    pub polls: Number,
    /// Bytes the last poll found in the ring.
    pub fill: Number,
    /// Nanoseconds from the newest record's time to when it was read.
    pub lag: Number,
    /// Connections in the table.
    pub connections: Number,
    /// Connections forgotten to make room.
    pub evicted: Number,
    /// Payload bytes that passed without a record, as far as later records reveal them: lost in
    /// the ring, or skipped by the kernel for a while.
    pub missing_bytes: Number,
    /// Segments that joined the connection they had arrived before.
    pub early_joined: Number,
    /// Segments whose connection never came.
    pub early_dropped: Number,
}

impl Statistics {
    pub(super) fn publish(&self, counts: Counts, connections: usize) {
        self.connections.set(connections as u64);
        self.evicted.set(counts.evicted);
        self.missing_bytes.set(counts.missing_bytes);
        self.early_joined.set(counts.early_joined);
        self.early_dropped.set(counts.early_dropped);
    }
}
