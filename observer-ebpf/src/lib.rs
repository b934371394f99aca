//! What the kernel programs and the agent say to each other, and what of the programs is pure.
//!
//! Both sides compile this crate, so that a layout is written once. Every type
//! is without padding (`zerocopy` refuses it at compile time) and every enum is
//! read as an integer and checked, because a record is bytes until proven.
//!
//! ```text
//!   Segment              Header | captured bytes (head, then tail) | unused rest of the size class
//!   Early                Header | Identity | captured bytes
//!   Connection, Opened,
//!   Accepted, Failed,
//!   Closed               Header | Identity
//!   Process*             Header | Process
//! ```
#![no_std]

mod counter;
mod received;
mod recognise;
mod record;
mod settings;

pub use counter::{COUNTERS, Counter, CounterRow, Outcome};
pub use received::{Part, Received};
pub use recognise::{is_client_hello, recognise};
pub use record::{
    Direction, Flags, HEADER_SIZE, Header, IDENTITY_SIZE, Identity, Kind, Opener, Process,
    Protocol, Reason, Version,
};
pub use settings::{RINGS_MAX, SIZE_CLASSES, Settings, TAIL_MAX, VERDICT_SLOTS, Verdict, ring_of};
