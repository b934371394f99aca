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
    shell::step(&format!("built {} ({} KiB)", agent.display(), size / 1024));
    Ok(())
}

/// Builds both sides; where the agent is.
pub(crate) fn agent() -> Result<PathBuf> {
    kernel::build()?;
    shell::step("building the agent (release)");
    shell::run(&mut shell::cargo([
        "build",
        "--release",
        "--package",
        "observer",
    ]))?;
    Ok(shell::top().join("target/release/observer"))
}
