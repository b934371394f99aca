//! Bounds of what is held to bring bytes into order.

use serde::{Deserialize, Serialize};

/// Bounds of the table of connections.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reassembly {
    /// Connections with state; the idlest is forgotten for a new one.
    pub connections: usize,
    /// Bytes that one direction may hold back for bytes before them.
    pub held_per_direction: usize,
    /// Bytes that all directions may hold back together.
    pub held: usize,
}

impl Default for Reassembly {
    fn default() -> Self {
        Self {
            connections: 16_384,
            held_per_direction: 256 * 1024,
            held: 8 * 1024 * 1024,
        }
    }
}
