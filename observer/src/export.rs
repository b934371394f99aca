//! Facts become bounded series, and an HTTP server shows them.
#![forbid(unsafe_code)]

use smallvec::SmallVec;

pub mod catalog;
pub mod symbols;

pub use catalog::Metric;
pub use symbols::{Symbol, Symbols};

/// One observation: what [`crate::interpret`] says of the platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Which metric.
    pub metric: Metric,
    /// Its label values, in the catalog's order.
    pub labels: SmallVec<[Symbol; 6]>,
    /// An increment for a counter, an observation for a histogram, a difference for a gauge that
    /// counts, the new value for a gauge that is set.
    pub value: f64,
}
