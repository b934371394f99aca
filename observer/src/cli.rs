//! The command: arguments in, an exit code out, and one clear sentence where something is wrong.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

pub mod check;
mod log;
pub mod record;
pub mod replay;
pub mod run;

pub use check::{Requirement, State};
pub use run::{Failure, Running, Setup};

use crate::config::{self, Config, Selection};
use crate::export::document;

/// What the command needs from the stages it does not know.
#[derive(Clone, Copy)]
pub struct Parts {
    /// What this machine must have for a configuration.
    pub requirements: fn(&Config) -> Vec<Requirement>,
    /// Loads and attaches the programs and starts every stage, or leaves nothing behind.
    pub start: fn(Setup) -> anyhow::Result<Box<dyn Running>>,
    /// Records until it is told to stop, or a bound is met.
    pub record: fn(&Config, Selection, &record::Options, &AtomicBool) -> anyhow::Result<()>,
    /// Writes what a recording comes to.
    pub replay: fn(&Config, &replay::Options, &mut dyn io::Write) -> anyhow::Result<()>,
}

/// Shows a shop platform what its users live through, from the kernel.
#[derive(Debug, Parser)]
#[command(name = "observer", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Observe, and serve /metrics until SIGTERM or Ctrl-C.
    Run(Overrides),
    /// Record what passes, without values that no rule reads, until SIGTERM or Ctrl-C.
    Record {
        #[command(flatten)]
        overrides: Overrides,
        #[command(flatten)]
        options: record::Options,
    },
    /// Print the metrics, or a transcript, of a recording; needs no root.
    Replay(replay::Options),
    /// Say what this machine lacks to run it, and what to do.
    Check(Overrides),
    /// Show or check the configuration.
    Config {
        #[command(subcommand)]
        what: ConfigVerb,
    },
    /// Print docs/metrics.md.
    Metrics,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Print every key with its value in force; the output is a valid configuration file.
    Show(Overrides),
    /// Exit with 0 where the configuration is valid, else say what is wrong.
    Check(Overrides),
    /// Print docs/configuration.md.
    Document,
}

/// Options over the configuration file and the environment (OBSERVER_…).
#[derive(Args, Clone, Debug, Default)]
struct Overrides {
    /// YAML file; `observer config show` prints one with every key.
    #[arg(long, value_name = "FILE", env = "OBSERVER_CONFIG")]
    config: Option<PathBuf>,
    /// Where to serve /metrics.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// A cgroup v2 path to observe, absolute or relative to the mount; may repeat.
    #[arg(long = "cgroup", value_name = "PATH")]
    cgroups: Vec<PathBuf>,
    /// error, warn, info, debug or trace, or directives such as `observer::capture=debug`.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Overrides {
    fn resolve(self) -> anyhow::Result<Config> {
        let mut config = Config::load(self.config.as_deref(), environment())?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if !self.cgroups.is_empty() {
            config.cgroups = self.cgroups;
        }
        if let Some(level) = self.log_level {
            config.log.level = level;
        }
        config.validate()?;
        Ok(config)
    }
}

/// Variables that are text; others cannot be meant for us.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Runs the command line of this process.
#[must_use]
pub fn main(parts: Parts) -> ExitCode {
    match dispatch(Arguments::parse().verb, parts) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("observer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: Verb, parts: Parts) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Run(overrides) => {
            let config = overrides.resolve()?;
            log::start(&config.log);
            run::run(config, parts)?;
        }
        Verb::Record { overrides, options } => record::record(overrides, &options, parts)?,
        Verb::Replay(options) => replay::replay(&options, parts)?,
        Verb::Check(overrides) => {
            let config = overrides.resolve()?;
            let requirements = check::all(&config, parts);
            print(&check::report(&requirements))?;
            if requirements.iter().any(Requirement::is_missing) {
                return Ok(ExitCode::FAILURE);
            }
        }
        Verb::Config { what } => match what {
            ConfigVerb::Show(overrides) => print(&config::settings::show(&overrides.resolve()?))?,
            ConfigVerb::Check(overrides) => drop(overrides.resolve()?),
            ConfigVerb::Document => print(&config::document::configuration())?,
        },
        Verb::Metrics => print(&document::metrics())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output; a reader that has seen enough is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn overrides(arguments: &[&str]) -> Overrides {
        let verb = ["observer", "run"].iter().chain(arguments);
        match Arguments::try_parse_from(verb).unwrap().verb {
            Verb::Run(overrides) => overrides,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_command_line_is_over_everything() {
        let config = overrides(&[
            "--listen",
            "[::1]:80",
            "--cgroup",
            "a",
            "--cgroup",
            "/b",
            "--log-level",
            "debug",
        ])
        .resolve()
        .unwrap();
        assert_eq!(config.listen.to_string(), "[::1]:80");
        assert_eq!(config.cgroups, [PathBuf::from("a"), "/b".into()]);
        assert_eq!(config.log.level, "debug");
    }

    #[test]
    fn the_command_line_is_validated_too() {
        let error = overrides(&["--log-level", "a=b=c"]).resolve().unwrap_err();
        assert!(error.to_string().starts_with("log.level: "), "{error}");
    }
}
