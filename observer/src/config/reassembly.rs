//! Bounds of what is held to bring bytes into order.

use schemars::JsonSchema;
use serde::Serialize;

/// Bounds of the table of connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reassembly {
    /// Connections with state; the idlest is forgotten for a new one.
    pub connections: u32,
    /// Bytes that one direction may hold back for bytes before them.
    pub held_bytes: usize,
    /// Segments that one direction may hold back likewise.
    pub held_segments: usize,
}

impl Default for Reassembly {
    fn default() -> Self {
        Self {
            connections: 32_768,
            held_bytes: 256 * 1024,
            held_segments: 1024,
        }
    }
}
