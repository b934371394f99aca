//! What gives way when a ring fills up, so that PostgreSQL is the last to suffer.
//!
//! ```text
//!   0             1/2                3/4             7/8         full
//!   ├── everything ─┼─ heads of turns ─┼─ no payload ──┼─ no record ┤    of other protocols
//!   ├── everything ────────────────────────────────────────────────┤    of PostgreSQL
//! ```

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_RB_AVAIL_DATA;
use aya_ebpf::helpers::generated::bpf_ringbuf_query;
use observer_ebpf::Protocol;

use super::setting;

/// First bytes of a turn that are copied while the ring is not nearly full; enough for the heads of
/// most requests and answers.
const HEAD: u32 = 2048;
/// No record at all.
pub(super) const NONE: u32 = u32::MAX;
/// As many bytes as the budget allows.
const ALL: u32 = u32::MAX - 1;

/// How many bytes of a direction's turn there is room for, or [`NONE`].
///
/// What is not recognised yet may become PostgreSQL: its first bytes are always copied. An ending
/// without bytes is always told.
#[inline(always)]
pub(super) fn room(ring: *mut c_void, protocol: u8, length: u32) -> u32 {
    if protocol == Protocol::Postgres as u8 || length == 0 || ring.is_null() {
        return ALL;
    }
    let unread = unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) };
    let eighth = u64::from(setting!(ring) / 8);
    if unread <= 4 * eighth {
        ALL
    } else if unread <= 6 * eighth || protocol == Protocol::Undecided as u8 {
        HEAD
    } else if unread <= 7 * eighth {
        0
    } else {
        NONE
    }
}
