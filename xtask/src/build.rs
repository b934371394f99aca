//! Builds the agent: one file, the kernel programs inside it.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result};

use crate::{kernel, shell};

pub(crate) fn run() -> Result<()> {
    let agent = agent()?;
    let program = fs::read(&agent).with_context(|| format!("cannot read {}", agent.display()))?;
    let size = mebibytes(program.len());
    shell::step(&format!("built {} ({size})", agent.display()));
    Ok(())
}

/// For people: `11.2 MiB`.
pub(crate) fn mebibytes(bytes: usize) -> String {
    let tenths = bytes * 10 / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
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

/// The C library becomes part of the program.
const STATIC: &str = "target-feature=+crt-static";

/// Both sides again, for where there are no libraries. That concerns the last step alone, so
/// everything else is shared with the agent for here.
pub(crate) fn static_agent() -> Result<PathBuf> {
    kernel::build()?;
    shell::step(
        "building the agent with nothing left to link (release); takes minutes the first time",
    );
    let mut command = shell::cargo(["rustc", "--release", "--package", "observer"]);
    command.args(["--bin", "observer", "--", "-C", STATIC]);
    shell::run(&mut command)?;
    let built = shell::top().join("target/release/observer");
    // Cargo puts the one for here into the same place.
    let kept = built.with_file_name("observer-static");
    fs::copy(&built, &kept).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(kept)
}

/// A command of cargo for every package, all of whose programs need no libraries: one build of the
/// agent is started by tests and put into images by them. `cargo rustc` builds one package, with
/// other features of what it depends on, and so most of it again. With a target named, what runs in
/// the compiler is linked as ever.
pub(crate) fn statically(command: &str) -> Command {
    let mut command = shell::cargo([command, "--workspace", "--target", "host-tuple"]);
    // The first of these that is there is the only one that cargo heeds.
    if let Ok(flags) = env::var("CARGO_ENCODED_RUSTFLAGS") {
        let flags = format!("{flags}\x1f-C\x1f{STATIC}");
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.trim_start_matches('\x1f'));
    } else if let Ok(flags) = env::var("RUSTFLAGS") {
        command.env("RUSTFLAGS", format!("{flags} -C {STATIC}"));
    } else {
        let flags = format!("target.'cfg(all())'.rustflags=['-C', '{STATIC}']");
        command.args(["--config", &flags]);
    }
    command
}
