//! Event time: what the kernel's clock said when bytes passed.
#![forbid(unsafe_code)]

/// Nanoseconds of `CLOCK_MONOTONIC`, as `bpf_ktime_get_ns` reads it.
///
/// The only time the stages know; none of them reads a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Seconds from `earlier` to `self`; zero where the clocks of two processors disagree on the
    /// order.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a duration beyond 104 days may round"
    )]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e9
    }
}
