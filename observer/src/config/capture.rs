//! What the kernel side copies and how it hands it over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the kernel programs and of who drains their rings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capture {
    /// Rings in use, 1 to 8.
    pub rings: u32,
    /// Bytes of each ring; a power of two. The kernel counts its mapping twice as ours.
    pub ring_bytes: u32,
    /// Unread bytes of a ring past which the agent is woken.
    pub wake: u32,
    /// Payload bytes copied per turn and direction.
    pub budgets: Budgets,
    /// Bytes copied from a segment's end once the budget of the turn is spent.
    pub tail: u32,
    /// Turns after which an unrecognised connection is `other` for good.
    pub attempts: u32,
    /// Sockets that may have state at a time.
    pub sockets: u32,
    /// How long to sleep between two looks at the rings while there was something.
    #[serde(with = "humantime_serde")]
    pub poll_busy: Duration,
    /// How long to sleep at most, while there was nothing.
    #[serde(with = "humantime_serde")]
    pub poll_idle: Duration,
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            rings: 1,
            ring_bytes: 8 * 1024 * 1024,
            wake: 2 * 1024 * 1024,
            budgets: Budgets::default(),
            tail: 256,
            attempts: 8,
            sockets: 65_536,
            poll_busy: Duration::from_millis(1),
            poll_idle: Duration::from_millis(10),
        }
    }
}

/// Payload bytes copied per turn and direction, by what a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// Not recognised yet.
    pub undecided: u32,
    /// HTTP/1.
    pub http1: u32,
    /// PostgreSQL.
    pub postgres: u32,
    /// Redis.
    pub redis: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            undecided: 64 * 1024,
            http1: 64 * 1024,
            postgres: 256 * 1024,
            redis: 64 * 1024,
        }
    }
}
