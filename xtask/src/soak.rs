//! A long run under load with one fault after the other.

use std::process::Command;

use anyhow::{Result, bail};

use crate::packages::{self, Need};
use crate::{build, shell};

/// Arguments of `soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long; the round that has begun is finished
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_080))]
    minutes: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if !shell::is_root() {
        bail!(
            "the soak loads programs into the kernel and makes a cgroup, which takes root: \
             run `sudo -E env \"PATH=$PATH\" cargo xtask soak`"
        );
    }
    packages::require(&[Need::Demo])?;
    let agent = build::agent_and(&["shop", "soak"])?;
    shell::become_it(
        Command::new(shell::top().join("target/release/soak"))
            .env("OBSERVER_BINARY", agent)
            .args(["--minutes", &args.minutes.to_string()]),
    )
}
