//! Runs every test.

use std::process::Command;

use anyhow::{Result, bail};

use crate::packages::{self, Need};
use crate::{build, kernel, languages, manifests, shell};

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the tests that need neither root nor the kernel
    #[arg(long)]
    unit: bool,
    /// Only tests whose name contains this
    filter: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    packages::require(&[Need::Demo, Need::Servers])?;
    kernel::build()?;
    // All with the same packages selected, so that their dependencies are built once.
    shell::step("unit tests");
    test(&["--lib", "--bins"], args, &[], None)?;
    if args.filter.is_none() {
        shell::step("examples in the documentation");
        test(&["--doc"], args, &[], None)?;
    }
    if args.unit {
        return Ok(());
    }
    languages::require()?;
    manifests::require()?;
    let runner = runner()?;
    build::static_test_agent()?;
    shell::step("the agent that the tests start");
    shell::run(&mut shell::cargo(["build", "--workspace", "--bins"]))?;
    shell::step("tests on the real kernel with real servers, one after the other");
    test(&["--test", "*"], args, &["--test-threads=1"], runner)
}

/// One run of cargo, which says at the end how many passed and failed.
fn test(targets: &[&str], args: &Args, more: &[&str], runner: Option<&str>) -> Result<()> {
    let mut command = shell::cargo(["test", "--workspace"]);
    command
        .args(targets)
        .arg("--")
        .args(more)
        .args(&args.filter);
    if let Some(runner) = runner {
        let host = host()?;
        command.env(format!("CARGO_TARGET_{host}_RUNNER"), runner);
    }
    shell::run(&mut command)
}

/// What puts a test binary in root's hands where we are not root.
fn runner() -> Result<Option<&'static str>> {
    if shell::is_root() {
        return Ok(None);
    }
    if shell::can_sudo() {
        return Ok(Some("sudo -E"));
    }
    bail!(
        "the unit tests passed; those on the kernel take root: \
         run `sudo -E env \"PATH=$PATH\" cargo xtask test`"
    )
}

fn host() -> Result<String> {
    let text = shell::output(Command::new("rustc").arg("-vV")).unwrap_or_default();
    match text.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_uppercase().replace('-', "_")),
        None => bail!("`rustc -vV` does not name its host"),
    }
}
