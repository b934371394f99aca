//! Builds, runs, tests and measures observer: one verb, one file.

fn main() {}
