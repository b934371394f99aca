//! Arguments, logging, run, exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    observer::cli::main(observer::agent::PARTS)
}
