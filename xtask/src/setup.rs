//! Installs everything that any verb needs.

use anyhow::Result;

use crate::packages::{self, Need};
use crate::{kernel, languages, manifests, shell};

/// Arguments of `setup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say what is there and what is missing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.dry_run {
        packages::list().for_each(|line| eprintln!("{line}"));
        eprintln!("kernel side: {}", kernel::describe());
        return Ok(());
    }
    packages::require(&[Need::Demo, Need::Servers, Need::Cluster])?;
    languages::require()?;
    manifests::require()?;
    let toolchain = kernel::toolchain()?;
    toolchain.require_lints()?;
    shell::step(&format!(
        "set up; the kernel side is built with {toolchain}"
    ));
    Ok(())
}
