//! Counting: one addition to this processor's row.

use core::arch::asm;

use observer_ebpf::Counter;

use crate::maps::{COUNTERS, TRACKED};

/// Adds to a counter.
///
/// Atomic although the row is this processor's: a program in process context may be interrupted by
/// one in softirq, and an addition lost between them would never be found again.
#[inline(always)]
pub(super) fn count(counter: Counter, amount: u64) {
    if let Some(row) = COUNTERS.get_ptr_mut(0) {
        let slot = unsafe { row.cast::<u64>().add(counter as usize) };
        add(slot, amount);
    }
}

/// How many sockets have state.
#[inline(always)]
pub(super) fn tracked() -> u64 {
    TRACKED.get(0).copied().unwrap_or(u64::MAX)
}

/// Adds to the number of sockets that have state; `u64::MAX` takes one away.
#[inline(always)]
pub(super) fn track(amount: u64) {
    if let Some(tracked) = TRACKED.get_ptr_mut(0) {
        add(tracked, amount);
    }
}

/// `core`'s atomics are not offered on this target, although the instruction is as old as it.
#[inline(always)]
fn add(slot: *mut u64, amount: u64) {
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) slot, in(reg) amount) };
}
