//! Loads the kernel programs, attaches them, drains the ring.
//!
//! ```text
//!   host ──▶ can this machine?        settings ──▶ bounds of every map
//!   capabilities ──▶ what may this process?
//!   attach: Capture ──┬─ probes    (which hooks hold, and what is lost without)
//!                     ├─ ring      (records, by polling)
//!                     ├─ counters  (what the kernel saw, skipped and lost)
//!                     └─ verdicts  (what is not worth looking at)
//! ```
//!
//! The only stage that talks to the kernel. One call is unsafe, in `leftovers`.
#![deny(unsafe_code)]

pub mod attach;
mod btf;
pub mod capabilities;
mod cgroup;
pub mod counters;
pub mod error;
pub mod host;
mod leftovers;
pub mod listeners;
mod load;
pub mod probes;
pub mod record;
pub mod recording;
pub mod ring;
pub mod settings;
pub mod verdicts;

pub use attach::{Capture, Followed, Own};
pub use counters::{Counters, Snapshot};
pub use error::CaptureError;
pub use ring::RingReader;
pub use settings::{Budgets, Settings};
pub use verdicts::Verdicts;
