//! Formatting, lints on both targets, documentation. Generated pages are compared by tests.

use anyhow::Result;

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
    shell::step("clippy of an agent without `top`");
    shell::run(&mut shell::cargo([
        "clippy",
        "--package",
        "observer",
        "--no-default-features",
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
    shell::step("checked");
    Ok(())
}
