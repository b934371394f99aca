//! Arbitrary bytes for the decoders, by cargo-fuzz.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::packages::{self, Need};
use crate::shell;

const CARGO_FUZZ_VERSION: &str = "0.13.1";
/// Each target, the transcripts below `tests/fixtures` that its corpus begins with, and whether it
/// reads them plain.
const TARGETS: [(&str, &str, bool); 5] = [
    ("http1", "http1", false),
    ("postgres", "postgres", false),
    ("redis", "redis", false),
    ("lexer", "postgres", true),
    ("graphql", "http1", true),
];

/// Arguments of `fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Targets; all of them if none is named
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS.map(|(name, ..)| name)))]
    targets: Vec<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    packages::require(&[Need::Linker])?;
    let program = cargo_fuzz()?;
    for (target, fixtures, plain) in TARGETS {
        if !args.targets.is_empty() && !args.targets.iter().any(|name| name == target) {
            continue;
        }
        shell::step(&format!("fuzzing {target} for {} s", args.seconds));
        let corpus = shell::top().join("target/fuzz-corpus").join(target);
        seed(
            &shell::top().join("tests/fixtures").join(fixtures),
            &corpus,
            plain,
        )?;
        shell::run(
            Command::new("rustup")
                .args(["run", "nightly"])
                .arg(&program)
                .args(["fuzz", "run", "--fuzz-dir", "tests/fuzz", target])
                .arg(&corpus)
                .args(["--", &format!("-max_total_time={}", args.seconds)])
                .env_remove("RUSTUP_TOOLCHAIN")
                .env_remove("CARGO")
                .env("CARGO_TARGET_DIR", shell::top().join("target/fuzz"))
                .current_dir(shell::top()),
        )?;
    }
    Ok(())
}

/// cargo-fuzz in the project's own directory, and the nightly it needs.
fn cargo_fuzz() -> Result<PathBuf> {
    if shell::output(Command::new("rustup").args(["run", "nightly", "rustc", "-V"])).is_none() {
        bail!("fuzzing needs a nightly compiler: run `rustup toolchain install nightly`");
    }
    let tools = shell::top().join(".tools");
    let program = tools.join("bin/cargo-fuzz");
    if !program.is_file() {
        shell::step(&format!("building cargo-fuzz {CARGO_FUZZ_VERSION}"));
        shell::run(
            shell::cargo([
                "install",
                "cargo-fuzz",
                "--version",
                CARGO_FUZZ_VERSION,
                "--locked",
            ])
            .arg("--root")
            .arg(&tools),
        )?;
    }
    Ok(program)
}

/// Puts the transcripts into the corpus; what the fuzzer found earlier stays there.
fn seed(fixtures: &Path, corpus: &Path, plain: bool) -> Result<()> {
    let mut command = shell::cargo(["run", "--quiet", "--package", "observer-tests"]);
    command
        .args(["--example", "corpus", "--"])
        .arg(fixtures)
        .arg(corpus);
    if plain {
        command.arg("--plain");
    }
    shell::run(&mut command)
}
