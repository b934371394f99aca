//! Builds, runs, tests and measures observer: one verb, one file.
#![forbid(unsafe_code)]

mod bench;
mod build;
mod check;
mod cluster;
mod demo;
mod engines;
mod fuzz;
mod image;
mod kernel;
mod languages;
mod manifests;
mod packages;
mod run;
mod setup;
mod shell;
mod soak;
mod test;

use std::process::ExitCode;

use clap::Parser;

/// Builds, runs, tests and measures observer. Each verb installs what it needs first.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", version)]
enum Verb {
    /// Install everything that any verb needs, and say what is missing
    Setup(setup::Args),
    /// Build target/release/observer, with the kernel programs inside it
    Build,
    /// Put the agent into an OCI image, target/image/observer.tar; no container engine takes part
    Image(image::Args),
    /// Build the agent and run it
    Run(run::Args),
    /// Watch a small shop through the agent: real PostgreSQL, real Redis, seeded load
    Demo(demo::Args),
    /// Run the Compose file beside a shop under real Docker and Podman, and count
    Engines(engines::Args),
    /// Run every test, those on the real kernel with real servers included
    Test(test::Args),
    /// Check formatting, lints on both targets and documentation
    Check,
    /// Measure what the observed pay and what the agent takes, against the limits
    Bench(bench::Args),
    /// Throw arbitrary bytes at every function that reads them
    Fuzz(fuzz::Args),
    /// Bring up a real Kubernetes, run the image and a shop in it, and count
    Cluster(cluster::Args),
    /// Load the shop for minutes or days, with one fault after the other, exact after each
    Soak(soak::Args),
}

fn main() -> ExitCode {
    let result = match Verb::parse() {
        Verb::Setup(args) => setup::run(&args),
        Verb::Build => build::run(),
        Verb::Image(args) => image::run(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Engines(args) => engines::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Check => check::run(),
        Verb::Bench(args) => bench::run(&args),
        Verb::Fuzz(args) => fuzz::run(&args),
        Verb::Cluster(args) => cluster::run(&args),
        Verb::Soak(args) => soak::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
