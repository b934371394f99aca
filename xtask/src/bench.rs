//! Measures: what the observed pay and what the agent takes, or each stage by itself.

use anyhow::Result;

use crate::packages::{self, Need};
use crate::{build, kernel, shell};

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Single functions, by criterion, instead of the whole agent on real servers
    #[arg(long)]
    micro: bool,
    /// Put what was measured into docs/performance.md
    #[arg(long, conflicts_with = "micro")]
    write: bool,
    /// Only what has this in its name; all of it takes about eight minutes
    filter: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.micro {
        shell::step("benches of single functions");
        return shell::run(
            shell::cargo(["bench", "--package", "observer", "--bench", "*", "--"])
                .args(&args.filter),
        );
    }
    packages::require(&[Need::Demo, Need::Servers])?;
    let floor = kernel::floor()?;
    let agent = build::agent()?;
    shell::step("building the benchmark; takes minutes the first time");
    let mut command = shell::cargo(["bench", "--package", "observer-tests", "--bench", "cost"]);
    command
        .env("OBSERVER_BINARY", agent)
        .env("OBSERVER_FLOOR", floor)
        .arg("--");
    if args.write {
        command.arg("--write");
    }
    shell::run(command.args(&args.filter))
}
