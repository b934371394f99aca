//! `observer replay`: a recording runs through the stages of a run; neither root nor a kernel is
//! needed.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use clap::Args;

use super::Parts;
use crate::config::Layers;

/// Which recording, and what to show of it.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The recording.
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// YAML file whose rules and bounds apply.
    #[arg(long, value_name = "FILE", env = "OBSERVER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Show who said what and when instead of metrics.
    #[arg(long)]
    pub transcript: bool,
}

/// Writes what a recording comes to; a reader that has seen enough is no failure.
pub(super) fn replay(options: &Options, parts: Parts) -> anyhow::Result<()> {
    let layers = Layers {
        file: options.config.clone(),
        environment: super::environment().collect(),
        ..Layers::default()
    };
    let config = layers.load()?.config;
    let result = (parts.replay)(&config, options, &mut io::stdout().lock());
    match result {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}

pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
