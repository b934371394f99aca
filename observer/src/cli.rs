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
pub mod rules;
pub mod run;
pub mod top;

pub use check::{Requirement, State};
pub use run::{Failure, Running, Setup};

use crate::config::{self, Config, Layers, Options, Problems, Selection};
use crate::export::document;
use crate::interpret::Rules;
use crate::workloads::Directory;

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
    /// Writes which facts a recording yields, and why.
    pub test: fn(&Config, &rules::Options, &mut dyn io::Write) -> anyhow::Result<()>,
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
    /// Show in the terminal what an agent sees: routes, shops, queries, Redis, connections, losses.
    Top(top::Options),
    /// Print or check the configuration.
    Config {
        #[command(subcommand)]
        what: ConfigVerb,
    },
    /// Print the rules built in, or try rules on a recording.
    Rules {
        #[command(subcommand)]
        what: RulesVerb,
    },
    /// Print docs/metrics.md.
    Metrics,
}

#[derive(Debug, Subcommand)]
enum RulesVerb {
    /// Print the rules built in, those of Naytife; a valid file to start from.
    Print,
    /// Show which facts a recording yields, and why each row did or did not become one.
    Test(rules::Options),
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Print every key with its value in force and where it comes from; a valid configuration file.
    Print(Overrides),
    /// Exit with 0 where the configuration and the rules it names are valid, else say what is not.
    Check(Checked),
    /// Print the JSON schema of the configuration file.
    Schema {
        /// Of the file with rules instead.
        #[arg(long)]
        rules: bool,
    },
    /// Print docs/configuration.md.
    Document,
}

/// What `observer config check` looks at.
#[derive(Args, Clone, Debug)]
struct Checked {
    /// The configuration; the same as --config.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A file with rules to be checked alone.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

impl Checked {
    /// What is valid.
    fn check(self) -> Result<String, Problems> {
        if let Some(rules) = self.rules {
            config::file::rules(&rules)?;
            return Ok(format!("{} is valid\n", rules.display()));
        }
        let mut layers = self.overrides.layers();
        layers.file = self.file.or(layers.file);
        let loaded = layers.load()?;
        let config = &loaded.config;
        config.rules()?;
        config.gate()?;
        let mut told = match layers.file {
            Some(file) => format!("{} is valid\n", file.display()),
            None => "the configuration is valid\n".into(),
        };
        let selected = check::selected(config, &Directory::default());
        let selected = selected.map(|selected| selected.sentence());
        let notes = loaded.notes();
        for line in selected
            .into_iter()
            .chain(notes.iter().map(ToString::to_string))
        {
            told.push_str(&line);
            told.push('\n');
        }
        Ok(told)
    }
}

/// Options over the configuration file and the environment (OBSERVER_…).
#[derive(Args, Clone, Debug, Default)]
struct Overrides {
    /// YAML file; `observer config print` prints one with every key.
    #[arg(long, value_name = "FILE", env = "OBSERVER_CONFIG")]
    config: Option<PathBuf>,
    /// Where to serve the page, the status and /metrics, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Who may ask and under which certificate, as the exporters of Prometheus read it.
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config: Option<PathBuf>,
    /// A cgroup v2 path to observe, absolute or relative to the mount; may repeat.
    #[arg(long = "cgroup", value_name = "PATH")]
    cgroups: Vec<PathBuf>,
    /// error, warn, info, debug or trace, or directives such as `observer::capture=debug`.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Where the host's proc is mounted, for the node's metrics.
    #[arg(long = "path.procfs", value_name = "PATH")]
    procfs: Option<PathBuf>,
    /// Where the host's sysfs is mounted, for the node's metrics.
    #[arg(long = "path.sysfs", value_name = "PATH")]
    sysfs: Option<PathBuf>,
    /// Where the host's file systems are mounted, for the node's metrics.
    #[arg(long = "path.rootfs", value_name = "PATH")]
    rootfs: Option<PathBuf>,
}

impl Overrides {
    /// With everything below.
    fn layers(self) -> Layers {
        Layers {
            file: self.config,
            environment: environment().collect(),
            options: Options {
                listen: self.listen,
                web_config: self.web_config,
                cgroups: self.cgroups,
                log_level: self.log_level,
                procfs: self.procfs,
                sysfs: self.sysfs,
                rootfs: self.rootfs,
            },
        }
    }

    fn resolve(self) -> anyhow::Result<Config> {
        Ok(self.layers().load()?.config)
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
            for line in format!("{error:#}").lines() {
                eprintln!("observer: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: Verb, parts: Parts) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Run(overrides) => {
            let layers = overrides.layers();
            let config = layers.load()?.config;
            log::start(&config.log);
            run::run(config, layers, parts)?;
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
        Verb::Top(options) => top::run(options, parts)?,
        Verb::Config { what } => match what {
            ConfigVerb::Print(overrides) => {
                let loaded = overrides.layers().load()?;
                print(&config::print::print(&loaded.config, Some(&loaded.origins)))?;
            }
            ConfigVerb::Check(checked) => match checked.check() {
                Ok(valid) => print(&valid)?,
                // Without our name in front, as compilers write them and editors read them.
                Err(problems) => {
                    eprintln!("{problems}");
                    return Ok(ExitCode::FAILURE);
                }
            },
            ConfigVerb::Schema { rules: false } => print(&config::schema::configuration())?,
            ConfigVerb::Schema { rules: true } => print(&config::schema::rules())?,
            ConfigVerb::Document => print(&config::document::configuration())?,
        },
        Verb::Rules { what } => match what {
            RulesVerb::Print => print(Rules::NAYTIFE)?,
            RulesVerb::Test(options) => rules::test(&options, parts)?,
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
        assert!(
            error.to_string().starts_with("--log-level: log.level: "),
            "{error}"
        );
    }
}
