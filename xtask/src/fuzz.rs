//! Arbitrary bytes for everything that reads them, by cargo-fuzz.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::packages::{self, Need};
use crate::shell;

const CARGO_FUZZ_VERSION: &str = "0.13.1";
/// Bytes of the longest input that is kept: long ones slow down every later run.
const KEPT_BYTES: u32 = 900;

/// A target, and what its corpus begins with.
struct Target {
    name: &'static str,
    /// Transcripts below `tests/fixtures`; none for one that begins with the kept corpus.
    fixtures: Option<&'static str>,
    /// How it reads them.
    form: &'static str,
}

const fn target(name: &'static str, fixtures: Option<&'static str>, form: &'static str) -> Target {
    Target {
        name,
        fixtures,
        form,
    }
}

const TARGETS: [Target; 11] = [
    target("detect", Some("postgres"), "plain"),
    target("graphql", Some("http1"), "plain"),
    target("http1", Some("http1"), "marked"),
    target("lexer", Some("postgres"), "plain"),
    target("pipeline", Some("http1"), "records"),
    target("postgres", Some("postgres"), "marked"),
    target("reassemble", None, ""),
    target("recording", Some("http1"), "records"),
    target("redis", Some("redis"), "marked"),
    target("requests", None, ""),
    target("rules", None, ""),
];

/// Arguments of `fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Targets; all of them if none is named
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS.map(|target| target.name)))]
    targets: Vec<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Put what adds to it into tests/fuzz/corpus, where the tests begin too
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    packages::require(&[Need::Linker])?;
    let program = cargo_fuzz()?;
    let chosen = |target: &&Target| {
        args.targets.is_empty() || args.targets.iter().any(|name| name == target.name)
    };
    for target in TARGETS.iter().filter(chosen) {
        let Target { name, .. } = target;
        let found = shell::top().join("target/fuzz-corpus").join(name);
        let kept = shell::top().join("tests/fuzz/corpus").join(name);
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&kept)?;
        seed(target, &found)?;
        shell::step(&format!("fuzzing {name} for {} s", args.seconds));
        let time = format!("-max_total_time={}", args.seconds);
        shell::run(
            fuzzer(&program, name)
                .args([&found, &kept])
                .args(["--", &time]),
        )?;
        if args.keep {
            shell::step(&format!("keeping what adds to the corpus of {name}"));
            let length = format!("-max_len={KEPT_BYTES}");
            shell::run(fuzzer(&program, name).args([&kept, &found]).args([
                "--",
                "-set_cover_merge=1",
                &length,
            ]))?;
        }
    }
    Ok(())
}

fn fuzzer(program: &Path, name: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly"])
        .arg(program)
        .args(["fuzz", "run", "--fuzz-dir", "tests/fuzz", name])
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env("CARGO_TARGET_DIR", shell::top().join("target/fuzz"))
        .current_dir(shell::top());
    command
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
fn seed(target: &Target, corpus: &Path) -> Result<()> {
    let Some(fixtures) = target.fixtures else {
        return Ok(());
    };
    shell::run(
        shell::cargo(["run", "--quiet", "--package", "observer-tests"])
            .args(["--example", "corpus", "--", "--form", target.form])
            .arg(shell::top().join("tests/fixtures").join(fixtures))
            .arg(corpus),
    )
}
