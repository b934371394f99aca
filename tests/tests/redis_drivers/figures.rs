//! What the agent and the servers counted in a scenario, and whether it is what was issued.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use observer_tests::agent::Agent;
use observer_tests::process::PATIENCE;
use observer_tests::redis::Redis;
use observer_tests::redis::cluster::Cluster;
use observer_tests::scrape::Scrape;

use super::driver::{Counts, Told};

/// Compares the agent with the servers.
pub(crate) struct Figures<'a> {
    agent: &'a Agent,
    servers: Vec<&'a Redis>,
    before: Counted,
}

/// Everything that was counted since the start.
#[derive(Clone, Debug, Default)]
struct Counted {
    /// By the agent: command and outcome.
    commands: BTreeMap<[String; 2], u64>,
    durations: Counts,
    blocked: Counts,
    lookups: Counts,
    lost: u64,
    /// By the servers.
    usage: Counts,
    errors: Counts,
}

impl<'a> Figures<'a> {
    pub(crate) fn new(agent: &'a Agent, single: &'a Redis, cluster: &'a Cluster) -> Self {
        Self {
            agent,
            servers: cluster.nodes().iter().chain([single]).collect(),
            before: Counted::default(),
        }
    }

    /// A scenario begins.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.before = self.counted()?;
        Ok(())
    }

    /// Waits until everything agrees: drivers refresh their slots behind the scenario's back.
    pub(crate) fn agree(&self, told: &Told) -> Result<()> {
        let start = Instant::now();
        loop {
            let result = self.counted()?.since(&self.before).agrees(told);
            if result.is_ok() || start.elapsed() > PATIENCE / 4 {
                return result;
            }
            sleep(Duration::from_millis(100));
        }
    }

    fn counted(&self) -> Result<Counted> {
        let scrape = self.agent.settled()?;
        let mut counted = Counted {
            commands: of(
                &scrape,
                "naytife_redis_commands_total",
                ["command", "outcome"],
            ),
            durations: one(
                &scrape,
                "naytife_redis_command_duration_seconds_count",
                "command",
            ),
            blocked: one(
                &scrape,
                "naytife_redis_command_blocked_seconds_count",
                "command",
            ),
            lookups: one(&scrape, "naytife_redis_lookups_total", "result"),
            lost: one(&scrape, "observer_bytes_total", "outcome")
                .remove("lost")
                .unwrap_or(0),
            ..Counted::default()
        };
        for server in &self.servers {
            for (command, usage) in server.usage()? {
                *counted.usage.entry(command).or_default() += usage.calls + usage.rejected;
            }
            for (word, count) in server.errors()? {
                *counted.errors.entry(word).or_default() += count;
            }
        }
        Ok(counted)
    }
}

impl Counted {
    fn since(mut self, before: &Self) -> Self {
        self.lost -= before.lost;
        subtract(&mut self.commands, &before.commands);
        for (now, then) in [
            (&mut self.durations, &before.durations),
            (&mut self.blocked, &before.blocked),
            (&mut self.lookups, &before.lookups),
            (&mut self.usage, &before.usage),
            (&mut self.errors, &before.errors),
        ] {
            subtract(now, then);
        }
        self
    }

    fn agrees(&self, told: &Told) -> Result<()> {
        ensure!(self.lost == 0, "{} bytes were lost", self.lost);
        let by_command = self.sum(|command, _| command);
        self.agrees_with_server(&by_command, told)?;
        self.agrees_with_program(&by_command, told)?;
        let unknown = self.of_outcomes(&["unknown"]);
        same("unknown outcomes", &unknown, &told.unanswered)?;
        same("blocked commands", &self.blocked, &told.blocked)?;
        let mut timed = by_command;
        subtract(&mut timed, &self.blocked);
        subtract(&mut timed, &unknown);
        same("durations", &self.durations, &timed)?;
        let mut lookups = Counts::from([("hit".into(), told.hits), ("miss".into(), told.misses)]);
        lookups.retain(|_, count| *count > 0);
        same("look-ups", &self.lookups, &lookups)
    }

    /// The server's figures, without what scripts ran and with what never ran.
    fn agrees_with_server(&self, by_command: &Counts, told: &Told) -> Result<()> {
        let mut usage = self.usage.clone();
        subtract(&mut usage, &told.inside);
        add(&mut usage, &told.unrun);
        // Which 7.0 does not know yet: an error, and nothing in the commands' figures.
        let refused =
            self.those(|command, outcome| (command, outcome) == ("client|setinfo", "ERR"));
        add(&mut usage, &refused);
        let mut counted = by_command.clone();
        // Our own questions are among them, and how many those are nobody tells.
        for figures in [&mut usage, &mut counted] {
            figures.remove("info");
        }
        same("commandstats", &counted, &usage)?;
        let mut errors = self.sum(|_, outcome| outcome);
        errors.retain(|word, _| word.bytes().all(|byte| byte.is_ascii_uppercase()));
        add(&mut errors, &told.within);
        same("errorstats", &errors, &self.errors)
    }

    /// What the program issued, and once more what was answered with a redirection.
    fn agrees_with_program(&self, by_command: &Counts, told: &Told) -> Result<()> {
        let mut issued = told.issued.clone();
        let again = self.of_outcomes(&["MOVED", "ASK"]);
        add(&mut issued, &again);
        let mut counted = by_command.clone();
        counted.retain(|command, _| issued.contains_key(command));
        same("issued", &counted, &issued)
    }

    fn sum<'a>(&'a self, by: impl Fn(&'a str, &'a str) -> &'a str) -> Counts {
        let mut counts = Counts::new();
        for ([command, outcome], count) in &self.commands {
            *counts.entry(by(command, outcome).to_owned()).or_default() += count;
        }
        counts
    }

    fn of_outcomes(&self, outcomes: &[&str]) -> Counts {
        self.those(|_, outcome| outcomes.contains(&outcome))
    }

    fn those(&self, is: impl Fn(&str, &str) -> bool) -> Counts {
        let mut counts = Counts::new();
        for ([command, outcome], count) in &self.commands {
            if is(command, outcome) {
                *counts.entry(command.clone()).or_default() += count;
            }
        }
        counts
    }
}

fn same(what: &str, counted: &Counts, expected: &Counts) -> Result<()> {
    let differ: Vec<_> = counted
        .keys()
        .chain(expected.keys().filter(|key| !counted.contains_key(*key)))
        .filter(|key| counted.get(*key) != expected.get(*key))
        .map(|key| (key, counted.get(key), expected.get(key)))
        .collect();
    ensure!(
        differ.is_empty(),
        "{what}, counted and expected: {differ:?}"
    );
    Ok(())
}

fn add(counts: &mut Counts, more: &Counts) {
    for (key, count) in more {
        *counts.entry(key.clone()).or_default() += count;
    }
}

/// What is left; keys of nothing go.
fn subtract<K: Ord>(counts: &mut BTreeMap<K, u64>, less: &BTreeMap<K, u64>) {
    for (key, count) in less {
        if let Some(there) = counts.get_mut(key) {
            *there = there.saturating_sub(*count);
        }
    }
    counts.retain(|_, count| *count > 0);
}

fn one(scrape: &Scrape, name: &str, label: &str) -> Counts {
    of(scrape, name, [label])
        .into_iter()
        .map(|([value], count)| (value, count))
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a counter is a whole number that is not negative"
)]
fn of<const N: usize>(
    scrape: &Scrape,
    name: &str,
    labels: [&str; N],
) -> BTreeMap<[String; N], u64> {
    let sums = scrape.select(name).by(labels);
    sums.into_iter()
        .map(|(values, sum)| (values, sum as u64))
        .filter(|(_, count)| *count > 0)
        .collect()
}
