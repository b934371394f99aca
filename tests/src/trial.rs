//! A shop under load while something is done to the agent that observes it.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::account::{Line, OTHER};
use crate::agent::{Agent, Options};
use crate::load::Sent;
use crate::scrape::Scrape;
use crate::shop::{Account, Shop};

/// The shop, its agent, and how far both were when they were last compared.
#[derive(Debug)]
pub struct Trial {
    agent: Agent,
    config: String,
    shop: Shop,
    sent: Sent,
    seed: u64,
    before: [BTreeMap<String, Line>; 3],
    restarted: bool,
}

/// What one round came to.
#[derive(Clone, Debug)]
pub struct Round {
    /// What was sent in it, and counted.
    pub account: Account,
    /// The agent at its end, settled.
    pub scrape: Scrape,
}

impl Trial {
    /// Starts the shop, and an agent with this configuration.
    ///
    /// # Errors
    /// When either does not start.
    pub fn start(config: &str) -> Result<Self> {
        let shop = Shop::start()?;
        let agent = observe(&shop, config)?;
        Ok(Self {
            agent,
            config: config.to_owned(),
            shop,
            sent: Sent::default(),
            seed: 1,
            before: Default::default(),
            restarted: false,
        })
    }

    /// The agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Has another agent in the place of one that was killed.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.agent = observe(&self.shop, &self.config)?;
        self.restarted = true;
        Ok(())
    }

    /// Loads the shop for so long and meanwhile does something; then waits until the ledger
    /// closes. The shop answers every request, whatever becomes of the agent.
    ///
    /// # Errors
    /// When it does not, when the ledger stays open, or what `act` returns.
    pub fn round(
        &mut self,
        duration: Duration,
        act: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Round> {
        self.seed += 1;
        let seed = self.seed;
        let plan = self.shop.plan(seed, duration);
        let load = thread::spawn(move || Shop::load(plan));
        let acted = act(self);
        let sent = load.join().map_err(|_| anyhow!("the load panicked"))??;
        acted?;
        ensure!(sent.unanswered == 0, "the shop left requests unanswered");
        self.sent.add(sent);
        // What the load generator sent last may still be on its way to the servers' logs.
        let scrape = self.agent.settled().context("after the load")?;
        let all = self.shop.account(&self.sent, &scrape)?;
        let restarted = std::mem::take(&mut self.restarted);
        let since = |lines: Vec<Line>, before: &mut BTreeMap<String, Line>| {
            let difference = lines.iter().map(|line| since_then(line, before, restarted));
            let difference = difference.filter(|line| line.sent + line.counted > 0);
            let difference = difference.collect();
            *before = lines
                .into_iter()
                .map(|line| (line.what.clone(), line))
                .collect();
            difference
        };
        let [http, sql, redis] = &mut self.before;
        let account = Account {
            http: since(all.http, http),
            sql: since(all.sql, sql),
            redis: since(all.redis, redis),
        };
        Ok(Round { account, scrape })
    }

    /// Bytes of its own that the agent has in memory: neither files nor the ring.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resident(&self) -> Result<u64> {
        resident(&self.agent)
    }
}

/// Bytes of its own that an agent has in memory: neither files nor the ring.
///
/// # Errors
/// When it is gone.
pub fn resident(agent: &Agent) -> Result<u64> {
    let path = format!("/proc/{}/status", agent.process().pid());
    let status = fs::read_to_string(path)?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = number.context("no RssAnon")?.trim().parse()?;
    Ok(kilobytes * 1024)
}

fn observe(shop: &Shop, config: &str) -> Result<Agent> {
    Agent::start(&Options {
        cgroups: &[&shop.cgroup],
        config: Some(config),
        ..Options::default()
    })
}

fn since_then(line: &Line, before: &BTreeMap<String, Line>, restarted: bool) -> Line {
    let (sent, counted) = before
        .get(&line.what)
        .map_or((0, 0), |before| (before.sent, before.counted));
    Line {
        what: line.what.clone(),
        sent: line.sent - sent,
        counted: line.counted - if restarted { 0 } else { counted },
    }
}

impl Round {
    /// Whether all that was sent was counted, and as what it was.
    ///
    /// # Errors
    /// When not, with the lines that differ.
    pub fn is_exact(&self) -> Result<()> {
        none(self.account.lines().filter(|line| !line.agrees()))
    }

    /// The same, but that statements may be without a name: prepared where nobody looked.
    ///
    /// # Errors
    /// When not, with the lines that differ.
    pub fn is_exact_but_for_names(&self) -> Result<()> {
        let Account { http, sql, redis } = &self.account;
        none(http.iter().chain(redis).filter(|line| !line.agrees()))?;
        let [sent, counted] = sums(sql);
        ensure!(sent == counted, "{sent} executions, {counted} counted");
        self.is_honest()
    }

    /// Whether nothing was counted that was not sent; perhaps not all of it.
    ///
    /// # Errors
    /// When not, with the lines that have too much.
    pub fn is_honest(&self) -> Result<()> {
        let named = self.account.lines().filter(|line| line.what != OTHER);
        none(named.filter(|line| line.counted > line.sent))?;
        for lines in [&self.account.http, &self.account.sql, &self.account.redis] {
            let [sent, counted] = sums(lines);
            ensure!(
                counted <= sent,
                "{sent} sent, {counted} counted: {lines:#?}"
            );
        }
        Ok(())
    }
}

fn sums(lines: &[Line]) -> [u64; 2] {
    [
        lines.iter().map(|line| line.sent).sum(),
        lines.iter().map(|line| line.counted).sum(),
    ]
}

fn none<'a>(wrong: impl Iterator<Item = &'a Line>) -> Result<()> {
    let wrong: Vec<&Line> = wrong.collect();
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{wrong:#?}")
}
