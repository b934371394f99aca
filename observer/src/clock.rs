//! The two clocks of the machine; the only place that reads them.
//!
//! Stages know no clock: event time is the kernel's. Who compares event time with now (lag, what
//! is stale) or shows it to people (Unix time) asks here.
#![forbid(unsafe_code)]

use nix::time::{ClockId, clock_gettime};

use crate::time::Timestamp;

/// Now, on the clock of event times.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(read(ClockId::CLOCK_MONOTONIC))
}

/// Now, in seconds of Unix time.
#[must_use]
pub fn unix_seconds() -> f64 {
    seconds(read(ClockId::CLOCK_REALTIME))
}

/// An event time in seconds of Unix time, by what both clocks say now.
#[must_use]
pub fn unix_seconds_of(time: Timestamp) -> f64 {
    unix_seconds() - seconds(now().0) + seconds(time.0)
}

fn read(clock: ClockId) -> u64 {
    // Neither clock can fail where Linux runs.
    clock_gettime(clock).map_or(0, |time| {
        let whole = u64::try_from(time.tv_sec()).unwrap_or(0);
        whole.saturating_mul(1_000_000_000) + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a quarter of a microsecond is enough"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_now_has_the_unix_time_of_now() {
        let difference = unix_seconds_of(now()) - unix_seconds();
        assert!(difference.abs() < 0.1, "{difference}");
    }

    #[test]
    fn event_time_runs_forward() {
        let before = now();
        assert!(now() >= before);
        assert!(before.0 > 0);
    }
}
