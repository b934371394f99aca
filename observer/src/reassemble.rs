//! One direction of a connection, in order: bytes, and holes of known length.
#![forbid(unsafe_code)]

use observer_ebpf::{Direction, Identity, Reason};

use crate::time::Timestamp;

/// The kernel's handle of a local socket (its cookie). Two ends on one node have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionKey(pub u64);

/// Why payload that passed is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The record came without it: the turn's capture budget was spent. Counted by who decodes.
    Budget,
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
    /// When the hook ran.
    pub time: Timestamp,
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
    /// The next stretch of a direction.
    Data(Direction, Input<'a>),
    /// The direction ended in order: FIN, all before it delivered.
    Finished(Direction),
    /// A segment was sent again; nothing new.
    Retransmitted,
    /// Smoothed round-trip time in microseconds, whenever it is told.
    RoundTrip(u32),
    /// The connection is over; nothing follows for this key.
    Closed(Reason),
    /// The bounded table needed its place: the idlest connection is forgotten, not ended.
    Evicted,
}
