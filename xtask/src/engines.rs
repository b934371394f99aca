//! Docker and Podman, each running the Compose file of the agent beside a shop under load.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::packages::{self, Need};
use crate::{image, shell};

/// Arguments of `engines`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each of eight loads lasts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Take the image and the programs as they are since the last time
    #[arg(long)]
    skip_build: bool,
}

/// What is mounted on in the root of its containers.
const DIRECTORIES: [&str; 7] = ["dev", "etc", "logs", "proc", "programs", "sys", "usr"];
/// PostgreSQL refuses root, and wants to be somebody.
const USERS: &[u8] = b"root:x:0:0:root:/:/bin/sh\npostgres:x:70:70:postgres:/:/bin/sh\n";

pub(crate) fn run(args: &Args) -> Result<()> {
    if !shell::is_root() {
        bail!(
            "container engines take root: \
             run `sudo -E env \"PATH=$PATH\" cargo xtask engines`"
        );
    }
    packages::require(&[Need::Demo, Need::Servers, Need::Engines])?;
    let made = shell::top().join("target/engines");
    fs::create_dir_all(&made).with_context(|| format!("cannot make {}", made.display()))?;
    let host = made.join("host.tar");
    fs::write(
        &host,
        image::host::root(&DIRECTORIES, &[("etc/passwd", USERS)])?,
    )
    .with_context(|| format!("cannot write {}", host.display()))?;
    if !args.skip_build {
        image::run(&image::Args::default())?;
        shell::step("building the shop and what counts (release); takes minutes the first time");
        let build = ["build", "--release", "--package", "observer-tests"];
        shell::run(shell::cargo(build).args(["--bin", "shop", "--bin", "engines"]))?;
    }
    shell::become_it(
        Command::new(shell::top().join("target/release/engines"))
            .args(["--seconds", &args.seconds.to_string()])
            .arg("--image")
            .arg(shell::top().join("target/image/observer.tar"))
            .arg("--host")
            .arg(host)
            .arg("--deploy")
            .arg(shell::top().join("deploy/compose")),
    )
}
