//! Formatting, lints on both targets, documentation, generated pages.

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
    shell::step("generated pages");
    GENERATED.iter().try_for_each(fresh)?;
    shell::step("checked");
    Ok(())
}

/// A page that the agent writes from a table in its code.
struct Page {
    path: &'static str,
    arguments: &'static [&'static str],
}

const GENERATED: [Page; 4] = [
    Page {
        path: "docs/metrics.md",
        arguments: &["metrics"],
    },
    Page {
        path: "docs/configuration.md",
        arguments: &["config", "document"],
    },
    Page {
        path: "docs/schema/configuration.json",
        arguments: &["config", "schema"],
    },
    Page {
        path: "docs/schema/rules.json",
        arguments: &["config", "schema", "--rules"],
    },
];

fn fresh(page: &Page) -> Result<()> {
    let Page { path, arguments } = page;
    let by_hand = format!("cargo run -p observer -- {}", arguments.join(" "));
    let mut command = shell::cargo(["run", "--quiet", "--package", "observer", "--"]);
    let text =
        shell::output(command.args(*arguments)).with_context(|| format!("`{by_hand}` failed"))?;
    if fs::read_to_string(shell::top().join(path)).is_ok_and(|old| old == text) {
        return Ok(());
    }
    bail!("{path} is stale: run `{by_hand} > {path}`")
}
