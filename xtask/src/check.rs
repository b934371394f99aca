//! Formatting, lints on both targets, documentation.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::{kernel, shell};

pub(crate) fn run() -> Result<()> {
    shell::step("formatting");
    shell::run(&mut shell::cargo(["fmt", "--all", "--check"]))?;
    shell::step("clippy of the host's side");
    shell::run(&mut shell::cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    kernel::lint()?;
    shell::step("documentation");
    shell::run(
        shell::cargo([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ])
        .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    shell::step("docs/metrics.md");
    fresh()?;
    shell::step("checked");
    Ok(())
}

/// The list of metrics is generated from the table in the code.
fn fresh() -> Result<()> {
    let generate = ["run", "--quiet", "--package", "observer", "--", "metrics"];
    let text = shell::output(&mut shell::cargo(generate)).context("`observer metrics` failed")?;
    let path = shell::top().join("docs/metrics.md");
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    bail!("docs/metrics.md is stale: run `cargo run -p observer -- metrics > docs/metrics.md`")
}
