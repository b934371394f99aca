//! `observer rules test`: which facts a recording yields, and why; neither root nor a kernel is
//! needed.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::Parts;
use super::replay::is_broken_pipe;
use crate::config::Layers;

/// Which recording, which rules, and how to tell.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The recording.
    #[arg(value_name = "RECORDING")]
    pub input: PathBuf,
    /// YAML file with the rules; without it those of the configuration.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// YAML file whose rules and bounds apply.
    #[arg(long, value_name = "FILE", env = "OBSERVER_CONFIG")]
    pub config: Option<PathBuf>,
    /// A line of JSON for each row, and one for each rule.
    #[arg(long)]
    pub json: bool,
}

/// Tries rules on a recording; a reader that has seen enough is no failure.
pub(super) fn test(options: &Options, parts: Parts) -> anyhow::Result<()> {
    let layers = Layers {
        file: options.config.clone(),
        environment: super::environment().collect(),
        ..Layers::default()
    };
    let mut config = layers.load()?.config;
    if options.rules.is_some() {
        config.rules.clone_from(&options.rules);
    }
    match (parts.test)(&config, options, &mut io::stdout().lock()) {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}
