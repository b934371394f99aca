//! Runs every test.

mod programs;

use std::thread;

use anyhow::{Result, anyhow, bail};

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
    // Most of it waits for registries: beside what the compiler does, it costs little.
    let others = (!args.unit).then(|| {
        thread::spawn(|| {
            languages::require()?;
            manifests::require()
        })
    });
    kernel::build()?;
    // All with the same packages and kinds of dependencies selected, so that each is built once.
    shell::step("unit tests");
    test(&["--lib", "--bins"], args)?;
    if args.filter.is_none() {
        shell::step("examples in the documentation");
        test(&["--doc"], args)?;
    }
    let Some(others) = others else {
        return Ok(());
    };
    others
        .join()
        .map_err(|_| anyhow!("what makes the programs in other languages panicked"))??;
    let runner = runner()?;
    shell::step("the programs that test, and those that they start");
    let programs = programs::build()?;
    shell::step("tests on the real kernel with real servers");
    programs::run(programs, args.filter.as_deref(), runner)
}

fn test(targets: &[&str], args: &Args) -> Result<()> {
    let mut command = build::statically("test");
    command.args(targets).arg("--").args(&args.filter);
    shell::run(&mut command)
}

/// What puts a test binary in root's hands where we are not root.
fn runner() -> Result<&'static [&'static str]> {
    if shell::is_root() {
        return Ok(&[]);
    }
    if shell::can_sudo() {
        return Ok(&["sudo", "-E"]);
    }
    bail!(
        "the unit tests passed; those on the kernel take root: \
         run `sudo -E env \"PATH=$PATH\" cargo xtask test`"
    )
}
