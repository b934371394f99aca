//! Where log lines go and how they look.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config::Log;
use crate::config::log::Format;

/// Starts logging to standard error. The level has been validated.
pub(super) fn start(log: &Log) {
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    // It logs what it was sent, each time. What matters of that is said by us, once.
    let filter = match "kube_client=off".parse() {
        Ok(silent) => filter.add_directive(silent),
        Err(_) => filter,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    // Fails only where a process has a log already, as a test may.
    let _started = match log.format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
}
