//! Which.
