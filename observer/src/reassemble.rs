//! One direction of a connection, in order: bytes, and holes of known length.
//!
//! ```text
//!   records, as they came        position 0        100       200       300
//!   sent      [0,100) [200,300)           │ bytes    │ hole    │ bytes   │   a gap is a lost record
//!   received  [0,100) [200,300) ahead 100 │ bytes    │ …waits for [100,200) or for `ahead` to pass it
//! ```
//!
//! [`Table`] keeps a bounded number of connections, each with whatever its owner attaches to it,
//! and hands every record on as [`Event`]s in the order of the connection's own bytes.
#![forbid(unsafe_code)]

use observer_ebpf::{Direction, Identity, Protocol, Reason};

use crate::time::Timestamp;

mod early;
pub mod fuzz;
#[cfg(test)]
mod properties;
mod stream;
mod table;
#[cfg(test)]
mod tests;

pub use table::Table;

/// Bounds of a [`Table`], and what happens at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; over it the one idle the longest is [`What::Evicted`].
    pub connections: u32,
    /// Payload bytes a direction may hold while it waits for missing ones; over it a segment is
    /// dropped where it arrives, and its place becomes a hole.
    pub held_bytes: usize,
    /// Segments a direction may hold; likewise.
    pub held_segments: usize,
    /// Segments that arrived before their connection existed; over it the oldest is dropped.
    pub early_segments: usize,
    /// Payload bytes of those; likewise.
    pub early_bytes: usize,
    /// Nanoseconds after which such a segment's connection is not expected any more.
    pub early_age: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32_768,
            held_bytes: 256 * 1024,
            held_segments: 1024,
            early_segments: 256,
            early_bytes: 1024 * 1024,
            early_age: 5_000_000_000,
        }
    }
}

/// What a [`Table`] met besides payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes that passed without a record, as far as later records reveal them: lost in the ring,
    /// or skipped by the kernel for a while.
    pub missing_bytes: u64,
    /// Connections forgotten to make room.
    pub evicted: u64,
    /// Segments that joined the connection they had arrived before.
    pub early_joined: u64,
    /// Segments forgotten to make room before their connection came.
    pub early_dropped: u64,
}

/// The kernel's handle of a local socket (its cookie). Two ends on one node have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionKey(pub u64);

/// Why payload that passed is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The record came without it: the turn's capture budget was spent. Counted by who decodes.
    Budget,
    /// Likewise, but because the ring was filling up.
    Shed,
    /// The record itself found no room in the ring. The kernel has counted these bytes.
    Record,
}

/// The next stretch of a direction.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Payload.
    Bytes(&'a [u8]),
    /// Payload that passed but was not captured: how many bytes, and why.
    Hole(u64, Cause),
}

impl Input<'_> {
    /// How many positions of the direction this covers.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Hole(length, _) => *length,
        }
    }
}

/// Something happened on a connection; each connection's events come in order.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Which connection.
    pub connection: ConnectionKey,
    /// When the hook ran; for bytes that waited, when what they waited for came.
    pub time: Timestamp,
    /// What the kernel takes the connection for at that moment; provisional.
    pub protocol: Protocol,
    /// What happened.
    pub what: What<'a>,
}

/// What happens on a connection.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// Who it is; before its first data, and again whenever more of it is known.
    Identified(&'a Identity),
    /// A connect succeeded.
    Opened,
    /// A listener's child was established.
    Accepted,
    /// A connect did not succeed; there was never data.
    Failed(Reason),
    /// The next stretch of a direction, and the position of its first byte.
    Data(Direction, Input<'a>, u64),
    /// The direction ended in order: FIN, all before it delivered.
    Finished(Direction),
    /// A segment was sent again; nothing new.
    Retransmitted,
    /// Smoothed round-trip time in microseconds; at most once a second.
    RoundTrip(u32),
    /// The connection is over; nothing follows for this key.
    Closed(Reason),
    /// The bounded table needed its place: the idlest connection is forgotten, not ended.
    Evicted,
}
