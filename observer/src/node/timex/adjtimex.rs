//! One system call that no crate here wraps.

use std::io;
use std::mem::MaybeUninit;

use nix::libc::{self, c_int, c_long};

/// What the kernel says of its clock.
#[derive(Debug)]
pub(super) struct Discipline {
    pub(super) state: c_int,
    pub(super) status: c_int,
    pub(super) tai: c_int,
    pub(super) offset: f64,
    pub(super) frequency: f64,
    pub(super) maximum_error: f64,
    pub(super) estimated_error: f64,
    pub(super) constant: f64,
    pub(super) tick: f64,
    pub(super) pulse_frequency: f64,
    pub(super) jitter: f64,
    pub(super) shift: f64,
    pub(super) stability: f64,
    pub(super) jitter_count: f64,
    pub(super) calibration_count: f64,
    pub(super) error_count: f64,
    pub(super) stability_count: f64,
}

/// Reads it, and changes nothing.
#[expect(unsafe_code, reason = "no crate here wraps the call")]
pub(super) fn read() -> io::Result<Discipline> {
    // SAFETY: a structure of whole numbers, for which zeroes are a value; with `modes` of 0 the
    // kernel only writes to it.
    let mut clock: libc::timex = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the pointer is to a structure that lives until the call returns.
    let state = unsafe { libc::adjtimex(&raw mut clock) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Discipline {
        state,
        status: clock.status,
        tai: clock.tai,
        offset: float(clock.offset),
        frequency: float(clock.freq),
        maximum_error: float(clock.maxerror),
        estimated_error: float(clock.esterror),
        constant: float(clock.constant),
        tick: float(clock.tick),
        pulse_frequency: float(clock.ppsfreq),
        jitter: float(clock.jitter),
        shift: f64::from(clock.shift),
        stability: float(clock.stabil),
        jitter_count: float(clock.jitcnt),
        calibration_count: float(clock.calcnt),
        error_count: float(clock.errcnt),
        stability_count: float(clock.stbcnt),
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact below 2^53; a text exposition is read into the same type"
)]
fn float(value: c_long) -> f64 {
    value as f64
}
