//! What the kernel side counts: one row per reason, per CPU.

/// Which column of the ledger a counter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New payload bytes that reached a program.
    Seen,
    /// Bytes that are knowingly not looked at.
    Skipped,
    /// Bytes that should have been looked at and could not be.
    Lost,
    /// Not bytes: records or segments.
    Count,
}

/// A row of [`COUNTERS`].
#[derive(Clone, Copy, Debug)]
pub struct CounterRow {
    /// Its index in the kernel's per-CPU array.
    pub counter: Counter,
    /// Its column in the ledger.
    pub outcome: Outcome,
    /// As a label value.
    pub reason: &'static str,
    /// One sentence for the documentation.
    pub help: &'static str,
}

macro_rules! counters {
    ($($name:ident, $outcome:ident, $reason:literal, $help:literal;)*) => {
        /// Index of a counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Counter { $(#[doc = $help] $name,)* }

        /// Every counter, in the order of the kernel's array.
        pub const COUNTERS: &[CounterRow] = &[$(CounterRow {
            counter: Counter::$name, outcome: Outcome::$outcome, reason: $reason, help: $help,
        },)*];
    };
}

counters! {
    SeenBytes, Seen, "", "New TCP payload bytes of selected sockets.";
    SkippedTls, Skipped, "tls", "Payload of connections that carry TLS.";
    SkippedHttp2, Skipped, "http2", "Payload of connections that carry HTTP/2.";
    SkippedOther, Skipped, "other", "Payload of connections that carry no protocol we decode.";
    SkippedOtherEnd, Skipped, "other_end", "Payload of connections whose other end answers for them.";
    SkippedUpgraded, Skipped, "upgraded", "Payload behind a protocol switch.";
    SkippedSockets, Skipped, "sockets", "Payload of sockets over the bound of sockets with state.";
    LostRing, Lost, "ring_full", "Payload of records that found no room in the ring.";
    LostStorage, Lost, "storage", "Payload of sockets whose state could not be allocated.";
    LostReordered, Lost, "reordered", "Payload behind more gaps than a socket's state can hold.";
    OwnSegments, Count, "own", "Segments of the agent's own listener, not looked at.";
    RecordsSubmitted, Count, "submitted", "Records put into the ring.";
    RecordsRingFull, Count, "ring_full", "Records that found no room in the ring.";
    RecordsShed, Count, "shed", "Records without all of their payload, because the ring was filling up.";
    SegmentsRetransmitted, Count, "retransmitted", "Sent segments that had been sent before.";
    SegmentsDuplicate, Count, "duplicate", "Received segments that TCP had accepted before.";
    SegmentsOutsideWindow, Count, "outside_window", "Received segments with an implausible sequence number.";
    SegmentsMalformed, Count, "malformed", "Packets whose headers contradict their length.";
    SocketsTracked, Count, "tracked", "Sockets that were given state.";
    SocketsReleased, Count, "released", "Sockets whose state was released at their close.";
    WakeUps, Count, "wake_ups", "Times the agent was woken because a ring had filled up.";
}
