//! Which bytes of a received segment are new.
//!
//! TCP has not looked at the segment yet, may be busy with an earlier one, and may hold later ones
//! out of order; so what it has accepted is not the whole truth, and what was counted is remembered
//! here:
//!
//! ```text
//!   accepted by TCP │ counted │ gap │ counted │ next          window
//!   ────────────────┼─────────┼·····┼─────────┼··············─ ─ ─ ─
//!                   ▲ rcv_nxt                 ▲ received_next
//! ```

use aya_ebpf::helpers::generated::{bpf_spin_lock, bpf_spin_unlock};

use super::state::{GAPS, State};

/// The part of a segment that was never counted before.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Position of its first byte.
    pub(super) start: u64,
    /// Its bytes; 0 where all of the segment is known.
    pub(super) length: u32,
    /// Bytes that have to be given up, now and for good, to keep the books exact.
    pub(super) lost: u32,
}

/// Counts the stretch from `start` to `end` as received, and tells what of it is new. `accepted` is
/// the position up to which TCP has taken everything.
///
/// No calls in here: none may be made under the lock.
#[inline(always)]
pub(super) fn claim(state: *mut State, start: u64, end: u64, accepted: u64) -> Part {
    let state = unsafe { &mut *state };
    let mut part = Part {
        start,
        length: 0,
        lost: 0,
    };
    unsafe { bpf_spin_lock(&raw mut state.lock) };
    // Accepted without passing here: on the listener, or before the agent began.
    if accepted > state.received_next {
        state.received_next = accepted;
    }
    let next = state.received_next;
    let start = if start < accepted { accepted } else { start };
    if end > start {
        if start < next {
            fill(
                state,
                &mut part,
                start,
                if end < next { end } else { next },
                accepted,
            );
        } else if start > next {
            open(state, &mut part, next, start, accepted);
        }
        if end > next {
            let fresh = if start > next { start } else { next };
            if part.length == 0 {
                part.start = fresh;
                part.length = (end - fresh) as u32;
            } else if part.start + u64::from(part.length) == fresh {
                part.length += (end - fresh) as u32;
            } else {
                part.lost += (end - fresh) as u32;
            }
            state.received_next = end;
        }
    }
    unsafe { bpf_spin_unlock(&raw mut state.lock) };
    part
}

/// Whether `a` lies behind `b`, both low halves of positions less than 2 GiB apart.
#[inline(always)]
fn behind(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// The stretch lies where bytes were counted: only what falls into a gap is new. A segment that
/// fills two gaps gives up the second.
#[inline(always)]
fn fill(state: &mut State, part: &mut Part, start: u64, end: u64, accepted: u64) {
    if state.gapped == 0 {
        return;
    }
    let (low, high) = (start as u32, end as u32);
    for index in 0..GAPS {
        let gap = &mut state.gaps[index];
        if gap.start == gap.end || !behind(gap.end, accepted as u32) {
            continue;
        }
        let from = if behind(gap.start, low) {
            gap.start
        } else {
            low
        };
        let to = if behind(gap.end, high) { high } else { gap.end };
        if !behind(to, from) {
            continue;
        }
        let filled = to.wrapping_sub(from);
        if part.length == 0 {
            part.start = start + u64::from(from.wrapping_sub(low));
            part.length = filled;
        } else {
            part.lost += filled;
        }
        if from == gap.start {
            gap.start = to;
        } else {
            // What is left behind the filled stretch has no place of its own.
            part.lost += gap.end.wrapping_sub(to);
            gap.end = from;
        }
    }
}

/// The stretch lies ahead: what is missing before it is a new gap, or given up if there is no place
/// to remember it.
#[inline(always)]
fn open(state: &mut State, part: &mut Part, from: u64, to: u64, accepted: u64) {
    for index in 0..GAPS {
        let gap = &mut state.gaps[index];
        if gap.start == gap.end || !behind(gap.end, accepted as u32) {
            gap.start = from as u32;
            gap.end = to as u32;
            state.gapped = 1;
            return;
        }
    }
    part.lost += (to - from) as u32;
}
