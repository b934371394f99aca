//! `observer record`: what the hooks see goes into a file until a signal comes or a bound is met.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::run::{self, Signals};
use super::{Overrides, Parts};
use crate::config::Selection;

/// What to record, and where to.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The file; written beside it, and moved there once it is whole.
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// Stop after so long, for example 30s.
    #[arg(long, value_name = "TIME", value_parser = humantime_serde::re::humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Stop once the file has about so many bytes, for example 1000000.
    #[arg(long, value_name = "N")]
    pub max_bytes: Option<u64>,
    /// Overwrite the file if it is there.
    #[arg(long)]
    pub force: bool,
    /// Keep every byte that passes, passwords and customers' data included.
    #[arg(long)]
    pub unredacted: bool,
}

/// Records until a signal comes or a bound is met.
pub(super) fn record(overrides: Overrides, options: &Options, parts: Parts) -> anyhow::Result<()> {
    let config = overrides.resolve()?;
    super::log::start(&config.log);
    if options.unredacted {
        eprintln!(
            "observer: warning: {} will hold everything that passes in the clear: passwords, \
             tokens, and whatever customers send or are sent",
            options.output.display()
        );
    }
    let selection = Selection::of(&config)?;
    run::require(&config, parts)?;
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let asked = Arc::clone(&stop);
    runtime.spawn(async move {
        signals.any().await;
        asked.store(true, Ordering::Relaxed);
    });
    let result = (parts.record)(&config, selection, options, &stop);
    runtime.shutdown_background();
    result
}
