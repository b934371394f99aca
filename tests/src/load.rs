//! Seeded load.
