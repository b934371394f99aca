//! Shows a multi-tenant shop platform what its users live through, from the kernel.
//!
//! ```text
//!  kernel                 user space, one direction only
//!  ┌───────────┐ Record  ┌────────────┐ Event  ┌────────┐ Message ┌───────────┐ Exchange ┌───────────┐ Fact ┌────────┐
//!  │observer-  ├────────▶│ reassemble ├───────▶│ decode ├────────▶│ correlate ├─────────▶│ interpret ├─────▶│ export │
//!  │ebpf       │ capture └────────────┘        └────────┘         └───────────┘          └─────┬─────┘      └────────┘
//!  └───────────┘                                                              workloads, rules ┘
//! ```
//!
//! Each arrow is a type; each box knows only the type on its left and the one on its right. A
//! stage never calls backwards; [`pipeline`] is the one module that knows them all.

pub mod agent;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod correlate;
pub mod decode;
pub mod export;
pub mod interpret;
pub mod ledger;
pub mod pipeline;
pub mod reassemble;
pub mod time;
pub mod workloads;
