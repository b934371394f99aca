//! Builds the agent and becomes it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{build, shell};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Arguments of `observer run`, such as `--listen 127.0.0.1:9464 --cgroup system.slice`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let agent = build::agent()?;
    let mut command = if shell::is_root() {
        Command::new(agent)
    } else if shell::can_sudo() {
        let mut command = Command::new("sudo");
        command.arg(agent);
        command
    } else {
        bail!(
            "loading programs into the kernel takes root: run `{} run` as root",
            agent.display()
        );
    };
    shell::become_it(command.arg("run").args(&args.arguments))
}
