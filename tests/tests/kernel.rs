//! The kernel side on the real kernel. Needs root; a machine without BPF fails these tests.

#[cfg(test)]
#[path = "kernel/harness.rs"]
mod harness;
#[cfg(test)]
#[path = "kernel/life.rs"]
mod life;
#[cfg(test)]
#[path = "kernel/limits.rs"]
mod limits;
#[cfg(test)]
#[path = "kernel/payload.rs"]
mod payload;
#[cfg(test)]
#[path = "kernel/selection.rs"]
mod selection;
#[cfg(test)]
#[path = "kernel/wire.rs"]
mod wire;
