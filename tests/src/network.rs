//! Networks of our own, to change and break what must not be on the machine's.
//!
//! ```text
//!   Namespace ──cable── Namespace        packets arrive as they left
//!   Namespace ──Relay── Namespace        packets get lost, come twice, late, in another order
//! ```

mod namespace;
mod relay;

use anyhow::Result;

pub use self::namespace::{CLIENT, CLIENT6, Namespace, Plug, SERVER, SERVER6, cable, pair};
pub use self::relay::{Faults, Relay, Tally, tunnel};

/// Runs `act` on a thread whose network, with a loopback as `ip link set lo …` made it, is nobody
/// else's; programs that it starts have the same.
///
/// # Errors
/// When the kernel refuses, or what `act` returns.
pub fn apart<T: Send>(loopback: &[&str], act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let network = Namespace::new()?;
    if !loopback.is_empty() {
        network.ip(&format!("link set dev lo {}", loopback.join(" ")))?;
    }
    network.inside(act)
}
