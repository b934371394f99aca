//! Arguments, logging, run, exit code; nothing else.

fn main() {}
