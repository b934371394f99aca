//! Loads the kernel programs, attaches them, drains the ring.

pub mod record;
