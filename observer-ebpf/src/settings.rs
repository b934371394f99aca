//! What the agent tells the programs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Captured bytes a record can hold. A record is the header and the smallest class that fits, so
/// the ring wastes less than half of a record.
pub const SIZE_CLASSES: [u32; 11] = [0, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536];

/// Most bytes [`Settings::tail`] may ask for; what a record with a tail has room for.
pub const TAIL_MAX: u32 = 128;

/// Slots of the array that says "a verdict of a cookie in this slot has changed", a power of two:
/// a program looks a verdict up only then.
pub const VERDICT_SLOTS: u32 = 4096;

/// Most rings, and the slots of the array that holds them.
pub const RINGS_MAX: u32 = 8;

/// The ring of a connection, of `rings` (a power of two), by its ports.
///
/// By what both ends of a connection share and what a segment on a listener has in common with the
/// child that follows it: so whatever has to meet meets in one ring, in order. Ports that follow
/// each other, or every other one, spread evenly.
#[inline(always)]
#[must_use]
#[expect(
    clippy::inline_always,
    reason = "a few instructions of kernel programs"
)]
pub const fn ring_of(local: u16, remote: u16, rings: u32) -> u32 {
    let both = (local as u32).wrapping_add(remote as u32);
    (both.wrapping_mul(0x9e37_79b1) >> 29) & rings.wrapping_sub(1)
}

/// Written once before the programs are loaded.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Settings {
    /// Payload bytes copied per turn and direction, indexed by [`crate::Protocol`].
    pub budgets: [u32; 16],
    /// Bytes copied from a segment's end once the budget of the turn is spent; at most
    /// [`TAIL_MAX`].
    pub tail: u32,
    /// Turns after which an unrecognised connection is `other` for good.
    pub attempts: u32,
    /// Sockets that may have state at a time.
    pub sockets: u32,
    /// Rings in use: 1, 2, 4 or 8 (at most [`RINGS_MAX`]).
    pub rings: u32,
    /// Unread bytes of a ring past which the agent is woken.
    pub wake: u32,
    /// Bytes of each ring.
    pub ring: u32,
    /// Offset of `task_struct.tgid`; 0 where the kernel has no BTF for it.
    pub task_tgid: u32,
    /// Offset of `task_struct.comm`; 0 likewise.
    pub task_comm: u32,
    /// How far ahead of what TCP accepted a received segment may lie and still be believed, bytes.
    pub window: u32,
    /// Offset of `sock.sk_err`; 0 where unknown: then endings are told apart by packets alone.
    pub sock_error: u32,
    /// Offset of `sock.sk_cgrp_data`; 0 where unknown: then `sock_ops` cannot name the cgroup.
    pub sock_cgroup: u32,
    /// Offset of `cgroup.kn`.
    pub cgroup_node: u32,
    /// Offset of `kernfs_node.id`.
    pub node_id: u32,
}

/// What the agent decided about a connection; value of the map keyed by socket cookie.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Verdict {
    /// [`crate::Protocol`] to hold from now on; [`crate::Protocol::Undecided`] leaves what the
    /// kernel found.
    pub protocol: u8,
    /// Not 0: send the connection's identity again before its next segment.
    pub tell: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_share_a_ring_and_ports_spread_over_all() {
        for (step, rings) in [(1, 2), (1, 4), (1, 8), (2, 2), (2, 4), (2, 8)] {
            let mut counts = [0; RINGS_MAX as usize];
            for port in (32_768..60_000).step_by(step) {
                let ring = ring_of(8080, port, rings);
                assert_eq!(ring, ring_of(port, 8080, rings));
                counts[ring as usize] += 1;
            }
            let all: u32 = counts.iter().sum();
            let used = &counts[..rings as usize];
            assert!(
                used.iter().all(|count| *count > all / rings * 9 / 10),
                "{step} {rings} {counts:?}"
            );
        }
    }
}
