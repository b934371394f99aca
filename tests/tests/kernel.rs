//! The kernel side on the real kernel. Needs root; a machine without BPF fails these tests.

#[path = "kernel/harness.rs"]
mod harness;
#[path = "kernel/life.rs"]
mod life;
#[path = "kernel/limits.rs"]
mod limits;
#[path = "kernel/payload.rs"]
mod payload;
#[path = "kernel/selection.rs"]
mod selection;
#[path = "kernel/wire.rs"]
mod wire;
