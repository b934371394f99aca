//! Measures: decoders by criterion, the kernel side and whole servers by the benches in `tests`.

use anyhow::Result;

use crate::packages::{self, Need};
use crate::{build, shell};

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only benches whose name contains this
    filter: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    packages::require(&[Need::Demo, Need::Servers])?;
    let agent = build::agent()?;
    shell::step("benches");
    shell::run(
        shell::cargo(["bench", "--workspace", "--bench", "*"])
            .env("OBSERVER_BINARY", agent)
            .arg("--")
            .args(&args.filter),
    )
}
