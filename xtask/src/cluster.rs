//! Brings up a real Kubernetes, runs the image and a shop in it, and counts.

mod binaries;
mod images;

use std::process::Command;

use anyhow::{Result, bail};

use crate::packages::{self, Need};
use crate::{image, manifests, shell};

/// Arguments of `cluster`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many nodes run pods
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    nodes: u8,
    /// Leave it running after the table, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Take the image and the programs as they are since the last time
    #[arg(long)]
    skip_build: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if !shell::is_root() {
        bail!(
            "the cluster takes namespaces, cgroups and programs in the kernel, which take root: \
             run `sudo -E env \"PATH=$PATH\" cargo xtask cluster`"
        );
    }
    packages::require(&[Need::Demo, Need::Servers, Need::Cluster])?;
    manifests::require()?;
    let made = shell::top().join("target/cluster");
    let binaries = made.join("bin");
    binaries::require(&binaries)?;
    let images = made.join("images");
    images::make(&binaries, &images)?;
    if !args.skip_build {
        image::run(&image::Args::default())?;
        shell::step("building the shop and what counts (release); takes minutes the first time");
        shell::run(&mut shell::cargo([
            "build",
            "--release",
            "--package",
            "observer-tests",
            "--bin",
            "shop",
            "--bin",
            "cluster",
        ]))?;
    }
    let mut command = Command::new(shell::top().join("target/release/cluster"));
    command
        .args(["--nodes", &args.nodes.to_string()])
        .arg("--binaries")
        .arg(binaries)
        .arg("--images")
        .arg(images)
        .arg("--image")
        .arg(shell::top().join("target/image/observer.tar"));
    if args.keep {
        command.arg("--keep");
    }
    shell::become_it(&mut command)
}
