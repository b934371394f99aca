//! The kernel's clock, read once per poll: how far behind a worker is.

use nix::time::{ClockId, clock_gettime};

use crate::time::Timestamp;

/// `CLOCK_MONOTONIC`, the clock of every record.
#[must_use]
pub fn now() -> Timestamp {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or_else(
        |_| std::time::Duration::ZERO,
        |time| {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
            std::time::Duration::new(seconds, u32::try_from(time.tv_nsec()).unwrap_or(0))
        },
    );
    Timestamp(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
