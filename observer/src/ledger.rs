//! What became of every payload byte: `seen = decoded + skipped + lost + pending`.
//!
//! Each position of a direction is counted once. The kernel counts what it sees and what it drops
//! itself; a worker counts here what became of the bytes that reached it.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! reasons {
    ($($(#[$meta:meta])* $variant:ident = $outcome:literal, $stage:literal, $reason:literal;)*) => {
        /// Every way in which user space is done with a byte.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fate { $($(#[$meta])* $variant,)* }

        impl Fate {
            /// Every fate, in the order of the ledger.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Label values: outcome, stage, reason.
            #[must_use]
            pub const fn labels(self) -> (&'static str, &'static str, &'static str) {
                match self { $(Self::$variant => ($outcome, $stage, $reason),)* }
            }
        }
    };
}

reasons! {
    /// Consumed by a decoder that was in step with the stream.
    Decoded = "decoded", "decode", "";
    /// A TLS connection.
    SkippedTls = "skipped", "decode", "tls";
    /// An HTTP/2 connection.
    SkippedHttp2 = "skipped", "decode", "http2";
    /// A connection whose protocol none of the decoders knows.
    SkippedOther = "skipped", "decode", "other";
    /// Behind an Upgrade, a CONNECT or a replication start.
    SkippedUpgraded = "skipped", "decode", "upgraded";
    /// The other end of the connection is observed and answers for both.
    SkippedOtherEnd = "skipped", "correlate", "other_end";
    /// Not copied because the turn's budget was spent, inside a body whose length is known.
    SkippedBudget = "skipped", "decode", "budget";
    /// Not copied because the ring was filling up, inside a body whose length is known.
    SkippedShed = "skipped", "decode", "shed";
    /// Seen on a connection joined in the middle of a message, before its next beginning.
    SkippedJoined = "skipped", "decode", "joined";
    /// At positions that had come before: sent again to a listener, where the kernel cannot tell.
    SkippedRepeated = "skipped", "reassemble", "repeated";
    /// Sent to a listener, and no connection came of it: TCP did not take it.
    SkippedStray = "skipped", "reassemble", "stray";
    /// The connection ended before enough came to tell its protocol.
    SkippedUndecided = "skipped", "decode", "undecided";
    /// Not copied because the turn's budget was spent, where a message may have begun.
    LostBudget = "lost", "decode", "budget";
    /// Not copied because the ring was filling up, where a message may have begun.
    LostShed = "lost", "decode", "shed";
    /// Behind bytes that were missing, until the decoder found the next beginning.
    LostHole = "lost", "decode", "hole";
    /// Not what the protocol allows, until the decoder found the next beginning.
    LostMalformed = "lost", "decode", "malformed";
    /// A message head longer than the decoder's bound.
    LostTooLong = "lost", "decode", "too_long";
    /// Held for bytes that never came, on a connection that ended or was evicted.
    LostReassembly = "lost", "reassemble", "out_of_order";
    /// Of a connection that the bounded table had no room for.
    LostEvicted = "lost", "reassemble", "evicted";
}

/// Bytes by [`Fate`]: `received = Σ settled + pending` whenever the worker is between two records.
///
/// One per worker, which alone writes it: an increment is a load and a store, not a locked
/// instruction. Scrapes read it at any time.
#[derive(Debug)]
pub struct Ledger {
    received: AtomicU64,
    pending: AtomicU64,
    fates: [AtomicU64; Fate::ALL.len()],
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            received: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            fates: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Ledger {
    /// Payload bytes whose record reached user space, copied or not.
    pub fn receive(&self, bytes: u64) {
        add(&self.received, bytes);
    }

    /// `bytes` of the received are not decided yet: they wait for others.
    pub fn hold(&self, bytes: u64) {
        add(&self.pending, bytes);
    }

    /// `bytes` that waited are decided now; settle them next.
    pub fn release(&self, bytes: u64) {
        let pending = self.pending.load(Ordering::Relaxed);
        self.pending
            .store(pending.saturating_sub(bytes), Ordering::Relaxed);
    }

    /// `bytes` are done with.
    pub fn settle(&self, fate: Fate, bytes: u64) {
        if let Some(sum) = self.fates.get(fate as usize) {
            add(sum, bytes);
        }
    }

    /// Bytes received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes received and not decided yet.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Bytes of one fate so far.
    #[must_use]
    pub fn settled(&self, fate: Fate) -> u64 {
        self.fates
            .get(fate as usize)
            .map_or(0, |sum| sum.load(Ordering::Relaxed))
    }

    /// What `received = Σ settled + pending` is off by; 0 between two records.
    #[must_use]
    pub fn imbalance(&self) -> i128 {
        let settled: u64 = Fate::ALL.iter().map(|fate| self.settled(*fate)).sum();
        i128::from(self.received()) - i128::from(settled) - i128::from(self.pending())
    }
}

fn add(sum: &AtomicU64, bytes: u64) {
    sum.store(
        sum.load(Ordering::Relaxed).wrapping_add(bytes),
        Ordering::Relaxed,
    );
}
