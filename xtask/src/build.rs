//! Builds the agent: one file, the kernel programs inside it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{kernel, shell};

pub(crate) fn run() -> Result<()> {
    let agent = agent()?;
    let size = fs::metadata(&agent)
        .with_context(|| format!("cannot read {}", agent.display()))?
        .len();
    let tenths = size * 10 / (1024 * 1024);
    shell::step(&format!(
        "built {} ({}.{} MiB)",
        agent.display(),
        tenths / 10,
        tenths % 10
    ));
    Ok(())
}

/// Builds both sides; where the agent is.
pub(crate) fn agent() -> Result<PathBuf> {
    agent_and(&[])
}

/// The same, with programs of the tests: in one run of cargo, which builds what they share once.
pub(crate) fn agent_and(programs: &[&str]) -> Result<PathBuf> {
    kernel::build()?;
    let what = ["the agent"]
        .iter()
        .chain(programs)
        .copied()
        .collect::<Vec<_>>();
    shell::step(&format!(
        "building {} (release); takes minutes the first time",
        what.join(", ")
    ));
    let mut command = shell::cargo(["build", "--release", "--package", "observer"]);
    if !programs.is_empty() {
        command.args(["--package", "observer-tests", "--bin", "observer"]);
        command.args(programs.iter().flat_map(|program| ["--bin", program]));
    }
    shell::run(&mut command)?;
    Ok(shell::top().join("target/release/observer"))
}
