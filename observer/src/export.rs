//! Facts become bounded series, and an HTTP server shows them.
//!
//! ```text
//!   interpret ── Fact ──▶ Recorder ──▶ series ◀── Scrape ◀── /metrics
//!                (one thread writes)   (atomics)   Agent ─┤  (the server reads)
//!                                       Source ── Families ─┘
//! ```
//!
//! Everything that knows the `prometheus` crate or the text format is in here.
#![forbid(unsafe_code)]

use smallvec::SmallVec;

pub mod agent;
pub mod balance;
pub mod catalog;
pub mod document;
pub mod encode;
pub mod families;
pub mod figures;
pub mod http;
pub mod limits;
mod page;
pub mod recorder;
pub mod registry;
mod series;
pub mod sources;
pub mod status;
pub mod symbols;

pub use agent::{Agent, Observed};
pub use catalog::Metric;
pub use families::{Families, Source};
pub use limits::Limits;
pub use recorder::Recorder;
pub use registry::Registry;
pub use sources::Sources;
pub use status::Overview;
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
    /// Nothing is counted under these labels any more, so a counting gauge has no series for them:
    /// its value is not 0, there is none.
    pub ends: bool,
}

#[cfg(test)]
mod tests;
