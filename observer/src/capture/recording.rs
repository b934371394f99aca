//! Recordings: what the hooks saw, in a file, to be run through the same stages again.
//!
//! ```text
//!   magic "observer" | format u16 | layout u16 | redacted u8 | zero u8 ×3 | start u64     24 bytes
//!   then, deflated:
//!     record   kind u8 | which fields are not zero u16 | those fields | body        kinds 1 to 10
//!     name     0x40 | cgroup | length | path                    before the first record that needs it
//!     end      0x41 | time | stripped | count | kernel counters    missing where the writer was killed
//! ```
//!
//! Numbers are little-endian base-128; times and cookies are differences to those before. A reader
//! trusts nothing: a file may be cut or made up, and neither may cost more than one record's memory.
#![forbid(unsafe_code)]

use observer_ebpf::{COUNTERS, Counter};

mod number;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Damaged, Ending, Item, Reader};
pub use write::Writer;

/// What a recording begins with.
const MAGIC: [u8; 8] = *b"observer";
/// The version of what is written here; the records' own layout has another.
pub const FORMAT: u16 = 1;
/// Bytes before what is deflated.
const PREAMBLE: usize = 24;

/// Marks a cgroup's name.
const NAME: u8 = 0x40;
/// Marks the end.
const END: u8 = 0x41;

/// Bytes of the longest record body: a segment's first 64 KiB and its end, or what a socket holds.
const BODY_LIMIT: u64 = 256 * 1024;
/// Bytes of the longest path.
const PATH_LIMIT: u64 = 4096;

/// What a recording says of itself before its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preamble {
    /// Whether every value that no rule reads is overwritten.
    pub redacted: bool,
    /// When it began, on the records' clock.
    pub started: u64,
}

/// What a recording says at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// When it ended, on the records' clock.
    pub time: u64,
    /// Payload bytes kept as lengths only because what they belong to took too long to be told.
    pub stripped: u64,
    /// What the kernel side had counted.
    pub counters: [u64; COUNTERS.len()],
}

impl Default for End {
    fn default() -> Self {
        Self {
            time: 0,
            stripped: 0,
            counters: [0; COUNTERS.len()],
        }
    }
}

impl End {
    /// One counter of the kernel's.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(counter as usize).copied().unwrap_or(0)
    }
}

/// Any bytes: reading them ends, and what they hold is never taken for more than it is.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn fuzz(data: &[u8]) {
    let Ok((_, mut reader)) = Reader::new(data) else {
        return;
    };
    let mut before = 0;
    while let Ok(Some(_)) = reader.item() {
        assert!(reader.offset() > before, "every item takes a byte");
        before = reader.offset();
    }
}
