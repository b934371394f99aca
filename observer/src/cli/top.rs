//! `observer top`: what the status tells, in a terminal.
//!
//! ```text
//!   an agent elsewhere ── HTTP ──┐
//!                                ├─▶ source ── Status ──▶ state ─▶ sheet ─▶ screen, or once a text
//!   an agent in this process ────┘                        keys ─┘
//! ```

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Parts;

#[cfg(feature = "top")]
mod screen;
#[cfg(feature = "top")]
mod sheet;
#[cfg(feature = "top")]
mod source;
#[cfg(feature = "top")]
mod state;
#[cfg(feature = "top")]
mod terminal;
#[cfg(feature = "top")]
mod views;

/// What to show, and of which agent.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The agent: an address as in --listen, or a URL; 127.0.0.1:9464 where none is named.
    #[arg(value_name = "URL", conflicts_with_all = ["local", "cgroups", "config"])]
    pub agent: Option<String>,
    /// Between two looks.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub interval: Duration,
    /// What to show first.
    #[arg(long, value_enum, default_value_t)]
    pub view: View,
    /// The column to sort that view by, as its head says it; first it is the count.
    #[arg(long, value_name = "COLUMN")]
    pub sort: Option<String>,
    /// Print one table of totals since the agent's start, and end.
    #[arg(long)]
    pub once: bool,
    /// Run an agent in this process and show that.
    #[arg(long)]
    pub local: bool,
    /// The same, of this cgroup; may repeat.
    #[arg(long = "cgroup", value_name = "PATH")]
    pub cgroups: Vec<PathBuf>,
    /// The configuration of an agent in this process.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A table of the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// HTTP by route.
    #[default]
    Routes,
    /// HTTP and SQL by shop.
    Shops,
    /// SQL by query.
    Queries,
    /// Redis by command.
    Redis,
    /// TCP by workload and peer.
    Connections,
    /// What was not decoded, and why.
    Losses,
}

fn interval(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(100)..=Duration::from_hours(1);
    humantime_serde::re::humantime::parse_duration(text)
        .ok()
        .filter(|interval| bounds.contains(interval))
        .ok_or_else(|| "it is a time from 100ms to 1h, such as 2s".to_owned())
}

/// Shows it until the user has seen enough.
///
/// # Errors
/// One sentence: no agent answers, or there is no such column.
#[cfg(not(feature = "top"))]
pub fn run(_options: Options, _parts: Parts) -> anyhow::Result<()> {
    anyhow::bail!("this observer was built without its cargo feature `top`")
}

/// Shows it until the user has seen enough.
///
/// # Errors
/// One sentence: no agent answers, or there is no such column.
#[cfg(feature = "top")]
pub fn run(options: Options, parts: Parts) -> anyhow::Result<()> {
    use std::io::{IsTerminal as _, stdout};
    use std::thread::sleep;

    use anyhow::bail;

    if !options.once && !stdout().is_terminal() {
        bail!("standard output is no terminal; --once prints a table");
    }
    let mut state = state::State::new(options.view, options.sort.as_deref())?;
    let is_local = options.local || !options.cgroups.is_empty() || options.config.is_some();
    let mut source = if is_local {
        source::Source::local(options.config, options.cgroups, parts)?
    } else {
        source::Source::http(options.agent.as_deref())?
    };
    if options.once {
        if is_local {
            sleep(options.interval);
        }
        state.take(source.status()?);
        super::print(&screen::text(&state))?;
        return source.end();
    }
    state.take(source.status()?);
    terminal::show(state, source, options.interval)
}

#[cfg(test)]
#[cfg(feature = "top")]
mod tests;
