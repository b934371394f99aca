//! What is done to the cluster, and what has to hold meanwhile and afterwards.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use observer_tests::account::Line;
use observer_tests::load::{Plan, Sent};
use observer_tests::scrape::Scrape;
use observer_tests::shop::Shop;

use crate::account::{self, Account, Load, SHOPS, SQL, account, group};
use crate::agents::{Agents, OVERLAYS, manifest};
use crate::checks::{self, whole};
use crate::control::until;
use crate::shop::{self, NAMESPACE, SERVERS, server};
use crate::table::Table;
use crate::{Cluster, say, scraper};

const MONITORS: &str = include_str!("monitors.yaml");
/// Requests per second of each of the two loads.
const RATE: u32 = 100;
const CONNECT: Duration = Duration::from_secs(1);
/// Load while nothing else happens.
const CALM: Duration = Duration::from_secs(10);
/// Load while the agents are replaced.
const UPDATE: Duration = Duration::from_secs(25);
/// Requests and statements that two loads of four connections each have under way when an agent
/// goes and when one comes, on two nodes.
const UNDER_WAY: u64 = 32;

/// Everything, in the order in which it is proved.
pub(crate) fn prove(cluster: &mut Cluster, table: &mut Table) -> Result<()> {
    let nodes = cluster.nodes.len();
    let control = &cluster.control;
    let ready = [
        "wait",
        "--for=condition=Ready",
        "node",
        "--all",
        "--timeout=5s",
    ];
    until("every node is ready", || {
        let said = control.kubectl(&ready)?;
        ensure!(said.lines().count() == nodes, "{said}");
        Ok(())
    })?;
    table.figure("nodes that are Ready", nodes as u64, nodes as u64);
    control.apply(MONITORS, &[])?;
    say("the overlay local");
    let agents = Agents::roll_out(control, "local", nodes)?;
    let ready = agents.count() as u64;
    table.figure(
        "local: agents Ready, with the shipped rights",
        nodes as u64,
        ready,
    );
    for overlay in OVERLAYS {
        let dry = ["--server-side", "--force-conflicts", "--dry-run=server"];
        let said = control.apply(&manifest(overlay)?, &dry);
        let said = said.map_or_else(|error| format!("{error:#}"), |_| "accepted".into());
        let what = format!("{overlay}: what kustomize builds, by the API server");
        table.fact(&what, &"accepted", &said, said == "accepted");
    }
    say("the shop");
    shop::deploy(control, &Cluster::programs()?, &cluster.logs(), nodes)?;
    for node in &cluster.nodes {
        for server in &SERVERS {
            until("every service is reachable from every node", || {
                let reach = || Ok(TcpStream::connect_timeout(&server.address(), CONNECT)?);
                node.machine.network.inside(reach).map(drop)
            })?;
        }
    }
    say("Prometheus");
    scraper::deploy(control)?;
    let mut trial = Trial {
        cluster,
        agents,
        load: Load::default(),
        seed: 0,
        before: Account::new(),
        parted: None,
    };
    trial.prove(table)
}

/// The cluster under load, and how far it was when it was last compared.
struct Trial<'a> {
    cluster: &'a mut Cluster,
    agents: Agents,
    load: Load,
    seed: u64,
    before: Account,
    /// What agents said last that are gone since the last comparison.
    parted: Option<Scrape>,
}

/// What a round came to.
struct Round {
    account: Account,
    scrape: Scrape,
}

impl Trial<'_> {
    fn prove(&mut self, table: &mut Table) -> Result<()> {
        self.calm(table)?;
        self.restarted_and_scaled(table)?;
        self.updated(table)?;
        // Last: controllers take their time until they ask again.
        self.without_api(table)
    }

    fn calm(&mut self, table: &mut Table) -> Result<()> {
        say("load, to begin with");
        // A shop is a label once a row has named it.
        self.round(Duration::from_secs(3), |_| Ok(()))?;
        say("load");
        let calm = self.round(CALM, |_| Ok(()))?;
        exact(table, "calm", &calm.account);
        for (what, name) in [("statements by name", SQL), ("requests by shop", SHOPS)] {
            let lines = group(&calm.account, name)?;
            table.lines(&format!("calm: {what}"), lines, Line::agrees);
        }
        checks::probes(self.cluster, &self.agents, table);
        checks::peers(table, &calm.scrape);
        checks::prometheus(self.cluster, &self.agents, table)
    }

    fn restarted_and_scaled(&mut self, table: &mut Table) -> Result<()> {
        say("load, and the backend is started anew, scaled to three and back to one");
        let moved = self.round(Duration::from_secs(30), |trial| {
            let control = &trial.cluster.control;
            let what = "deployment/backend";
            control.kubectl(&["rollout", "restart", what, "--namespace", NAMESPACE])?;
            control.rolled_out(NAMESPACE, what)?;
            for replicas in ["--replicas=3", "--replicas=1"] {
                control.kubectl(&["scale", what, replicas, "--namespace", NAMESPACE])?;
                control.rolled_out(NAMESPACE, what)?;
                thread::sleep(Duration::from_secs(4));
            }
            Ok(())
        })?;
        exact(table, "pods restarted and scaled", &moved.account);
        Ok(())
    }

    fn updated(&mut self, table: &mut Table) -> Result<()> {
        say("load, and the agents are updated one after the other, to least-privilege");
        let nodes = self.cluster.nodes.len();
        let mut gap = Duration::ZERO;
        let updated = self.round(UPDATE, |trial| {
            thread::sleep(Duration::from_secs(2));
            let control = &trial.cluster.control;
            let parting = trial.agents.part(control)?;
            trial.agents = Agents::roll_out(control, "least-privilege", nodes)?;
            let parted = parting
                .join()
                .map_err(|_| anyhow!("the look-out panicked"))??;
            // Kubelet says the second in which an agent was ready.
            let ready = Agents::ready_since(control)?.into_iter();
            let ready: Duration = ready.map(|since| since + Duration::from_secs(1)).sum();
            let said = parted.iter().map(|last| last.said).sum();
            // Of all nodes together, so that it does not matter which of them is whose.
            gap = ready.saturating_sub(said);
            let texts: String = parted.into_iter().map(|last| last.text).collect();
            trial.parted = Some(Scrape::parse(&texts)?);
            Ok(())
        })?;
        let what = "least-privilege: agents Ready after a rolling update";
        table.figure(what, nodes as u64, self.agents.count() as u64);
        // Else anything might have been missed.
        let what = "rolling update: seconds without an agent, of all nodes together";
        let most = UPDATE.as_secs() / 2;
        let seconds = gap.as_secs();
        table.fact(what, &format!("at most {most}"), &seconds, seconds <= most);
        for (group, lines) in &updated.account {
            if is_exact_by_line(group) {
                let what = format!("rolling update, at most what was issued: {group}");
                table.lines(&what, lines, |line| line.counted <= line.sent);
            }
            if *group != SHOPS {
                missed(table, group, lines, gap);
            }
        }
        say("load");
        let after = self.round(CALM, |_| Ok(()))?;
        exact(table, "after the update", &after.account);
        let lost = |round: &Round| {
            let bytes = round.scrape.select("observer_bytes_total");
            whole(bytes.with("outcome", "lost").sum())
        };
        let more = lost(&after) - lost(&updated);
        table.figure("after the update: bytes lost", 0, more);
        Ok(())
    }

    fn without_api(&mut self, table: &mut Table) -> Result<()> {
        say("load, and the API server is killed and started");
        let names = checks::services(&self.agents.scrape(&self.cluster.control)?);
        let blind = self.round(Duration::from_secs(20), |trial| {
            trial.cluster.control.stop_api()?;
            thread::sleep(Duration::from_secs(8));
            trial.cluster.control.start_api()
        })?;
        exact(table, "no API server", &blind.account);
        let added = checks::services(&blind.scrape);
        let added = added.difference(&names).count() as u64;
        table.figure("no API server: services of another name", 0, added);
        Ok(())
    }

    /// Loads for so long and meanwhile does something; then waits until the ledgers close.
    fn round(
        &mut self,
        duration: Duration,
        act: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Round> {
        self.seed += 1;
        let node = self.cluster.nodes.first().context("no node")?;
        let network = node.machine.network.try_clone()?;
        let mut loads = Vec::new();
        for (number, name) in (0..).zip(["backend", "store-deployer"]) {
            let plan = Plan {
                address: server(name)?.address(),
                seed: self.seed * 2 + number,
                rate: RATE,
                connections: 4,
                duration,
            };
            let network = network.try_clone()?;
            loads.push(thread::spawn(move || network.inside(|| Shop::load(plan))));
        }
        let acted = act(self);
        let mut sent = Vec::new();
        for load in loads {
            let part: Sent = load.join().map_err(|_| anyhow!("the load panicked"))??;
            sent.push(part);
        }
        acted?;
        let mut sent = sent.into_iter();
        self.load.backend.add(sent.next().unwrap_or_default());
        self.load.deployer.add(sent.next().unwrap_or_default());
        let scrape = self.agents.settled(&self.cluster.control)?;
        let of = |scrape: &Scrape| account(&self.load, scrape, &self.cluster.logs(), &network);
        let now = of(&scrape)?;
        let account = match self.parted.take() {
            None => account::since(&now, &self.before),
            Some(parted) => account::since(&of(&parted.and(scrape.clone()))?, &self.before),
        };
        self.before = now;
        Ok(Round { account, scrape })
    }
}

/// While a node has no agent, what passes there is missed, and nothing else is: of a load that is
/// the same all the time, the part that this time is of it, and what was under way as it began and
/// ended.
fn missed(table: &mut Table, group: &str, lines: &[Line], gap: Duration) {
    let sum = |of: fn(&Line) -> u64| lines.iter().map(of).sum::<u64>();
    let (sent, counted) = (sum(|line| line.sent), sum(|line| line.counted));
    let share = gap.as_millis().min(UPDATE.as_millis());
    let most = u128::from(sent) * share / UPDATE.as_millis();
    let most = u64::try_from(most).unwrap_or(u64::MAX) + UNDER_WAY;
    let missed = sent.saturating_sub(counted);
    table.fact(
        &format!(
            "rolling update, missed within {:.1} s without an agent: {group}",
            gap.as_secs_f64()
        ),
        &format!("at most {most} of {sent}"),
        &missed,
        missed <= most,
    );
}

/// Whether each line of a group is to be met; names of statements are not known to agents that
/// came later than they were prepared, and a shop not before a row has named it.
fn is_exact_by_line(group: &str) -> bool {
    group != SQL && group != SHOPS
}

/// A row for each group of lines.
fn exact(table: &mut Table, when: &str, account: &Account) {
    for (group, lines) in account {
        let what = format!("{when}: {group}");
        if is_exact_by_line(group) {
            table.lines(&what, lines, Line::agrees);
        } else if *group == SQL {
            let sum = |of: fn(&Line) -> u64| lines.iter().map(of).sum::<u64>();
            table.figure(&what, sum(|line| line.sent), sum(|line| line.counted));
        }
    }
}
