//! What was issued, by those who issued and served it, beside what all agents counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use observer_tests::account::{self, Line};
use observer_tests::load::Sent;
use observer_tests::network::Namespace;
use observer_tests::postgres::log::StatementLog;
use observer_tests::redis;
use observer_tests::scrape::Scrape;

use crate::machine;
use crate::shop::{DATABASE, server};

/// Groups that not every agent can tell line by line.
pub(crate) const SQL: &str = "SQL of backend";
pub(crate) const SHOPS: &str = "requests for a shop";
/// Requests that a server answered.
pub(crate) const REQUESTS: &str = "naytife_http_request_duration_seconds_count";
const EXECUTIONS: &str = "naytife_database_query_duration_seconds_count";
const UNTIMED: &str = "naytife_database_executions_untimed_total";
const HOPS: &str = "naytife_database_hop_executions_total";
const COMMANDS: &str = "naytife_redis_commands_total";
const ABORTED: &str = "naytife_http_client_requests_aborted_total";
const GRAPH: &str = "naytife_service_requests_total";
/// What kubelet asks for, and nobody else.
const PROBE: (&str, &str, u16) = ("GET", "/ready", 200);
const PROBED: &str = "GET /ready 200";
/// How the pooler's own statements begin.
const POOLERS: [&str; 3] = ["SET application_name", "DISCARD ALL", "select 1"];

/// What the two load generators sent so far.
#[derive(Clone, Default)]
pub(crate) struct Load {
    pub(crate) backend: Sent,
    pub(crate) deployer: Sent,
}

/// Lines by what they are about.
pub(crate) type Account = BTreeMap<&'static str, Vec<Line>>;

/// Everything, since the beginning.
pub(crate) fn account(
    load: &Load,
    scrape: &Scrape,
    logs: &Path,
    network: &Namespace,
) -> Result<Account> {
    let service = |name: &str| Ok::<_, anyhow::Error>(server(name)?.label);
    let mut requests = load.clone();
    let handed_on = load.handed_on();
    requests.backend.add(handed_on.clone());
    let registry = load.asked_of_the_registry();
    let http = |sent: &Sent, label: &str| {
        let mut sent = sent.clone();
        sent.answered.insert(PROBE, 0);
        let lines = account::http(&sent, scrape, label).into_iter();
        lines.filter(|line| line.what != PROBED).collect::<Vec<_>>()
    };
    let mut all = Account::new();
    let backend = service("backend")?;
    all.insert("HTTP of backend", http(&requests.backend, backend));
    let lines = http(&load.deployer, service("store-deployer")?);
    all.insert("HTTP of store-deployer", lines);
    let lines = http(&registry, service("template-registry")?);
    all.insert("HTTP of template-registry", lines);
    all.insert(SHOPS, shops(&requests.backend, scrape, backend));

    let text = fs::read(logs.join("statements"))?;
    let log = StatementLog::parse(&String::from_utf8_lossy(&text)).of(DATABASE);
    let mut issued = log.clone();
    let pooler = |text: &str| POOLERS.iter().any(|own| text.starts_with(own));
    issued.entries.retain(|entry| !pooler(&entry.text));
    let lines = account::sql(&issued, scrape, backend);
    all.insert(SQL, lines);
    let sum = |metric: &str| scrape.select(metric).sum();
    let upstream = line(
        "executions behind the pooler",
        log.executions() as u64,
        sum(HOPS),
    );
    all.insert("SQL, the second hop", vec![upstream]);

    let cache = server("redis")?.address();
    let usage = network.inside(|| redis::usage_at(cache))?;
    let mut lines = account::redis(&usage, (0, 0), scrape, backend);
    lines.retain(|line| !line.what.starts_with("look-ups"));
    let commands: u64 = lines.iter().map(|line| line.sent).sum();
    all.insert("Redis of backend", lines);

    // Over all services and nodes: nothing twice. The reading of INFO is ours, and so is what
    // Prometheus and kubelet are asked.
    let counted = scrape.select(COMMANDS).without("command", "info").sum();
    let probes = scrape.select(REQUESTS).with("endpoint", "/ready").sum();
    let of = |service: &str| scrape.select(REQUESTS).with("service", service).sum();
    let ours = of("prometheus") + of(machine::DAEMONS);
    let sent = requests.backend.total() + load.deployer.total() + registry.total();
    let executions = issued.executions() as u64;
    let cluster = vec![
        line("requests", sent, sum(REQUESTS) - probes - ours),
        line("SQL executions", executions, sum(EXECUTIONS) + sum(UNTIMED)),
        line("Redis commands", commands, counted),
    ];
    all.insert("the whole cluster", cluster);
    if scrape.types().contains_key(GRAPH) {
        let edges = [
            ("store-deployer", "backend", "http", handed_on.total()),
            (
                "store-deployer",
                "template-registry",
                "http",
                registry.total(),
            ),
            ("backend", "naytife-postgres-pooler", "postgres", executions),
            ("backend", "redis", "redis", commands),
        ];
        let edges = edges.map(|(client, server, protocol, count)| {
            let counted = scrape
                .select(GRAPH)
                .with("client", client)
                .with("server", server);
            // What a server on its way out did not answer is in the graph, as failed, and in no
            // load generator's books.
            let aborted = scrape
                .select(ABORTED)
                .with("service", client)
                .with("peer", server);
            line(
                &format!("{client} to {server}, {protocol}"),
                count,
                counted.sum() - aborted.sum(),
            )
        });
        all.insert("the service graph", edges.into());
    }
    Ok(all)
}

/// Requests whose path names a shop, by shop.
fn shops(sent: &Sent, scrape: &Scrape, service: &str) -> Vec<Line> {
    let requests = scrape.select(REQUESTS).with("service", service);
    let mut counted: BTreeMap<String, f64> = BTreeMap::new();
    for ([endpoint, shop], count) in requests.by(["endpoint", "shop_id"]) {
        if endpoint.contains("{shop_id}") {
            *counted.entry(shop).or_default() += count;
        }
    }
    let of = |shop: u64| counted.get(&shop.to_string()).copied().unwrap_or_default();
    let lines = sent.shops.iter();
    lines
        .map(|(shop, sent)| line(&format!("shop {shop}"), *sent, of(*shop)))
        .collect()
}

/// Requests of probes that a service answered.
pub(crate) fn probes(scrape: &Scrape, service: &str) -> f64 {
    let requests = scrape.select(REQUESTS).with("service", service);
    requests.with("endpoint", PROBE.1).sum()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a counter is a whole number that is not negative"
)]
fn line(what: &str, sent: u64, counted: f64) -> Line {
    Line {
        what: what.to_owned(),
        sent,
        counted: counted as u64,
    }
}

/// What is new since then.
pub(crate) fn since(now: &Account, then: &Account) -> Account {
    let of = |group: &str, what: &str| {
        let lines = then.get(group).into_iter().flatten();
        lines.clone().find(|line| line.what == what)
    };
    let mut new = Account::new();
    for (group, lines) in now {
        let lines = lines.iter().map(|line| {
            let (sent, counted) =
                of(group, &line.what).map_or((0, 0), |then| (then.sent, then.counted));
            Line {
                what: line.what.clone(),
                sent: line.sent - sent,
                counted: line.counted - counted,
            }
        });
        new.insert(
            group,
            lines.filter(|line| line.sent + line.counted > 0).collect(),
        );
    }
    new
}

/// The lines of a group.
pub(crate) fn group<'a>(account: &'a Account, name: &str) -> Result<&'a [Line]> {
    let lines = account.get(name).with_context(|| format!("no {name}"))?;
    Ok(lines)
}

// === impl Load ===

impl Load {
    /// What store-deployer asked the backend for, and was answered. A 502 is its own: the backend
    /// was on its way out.
    fn handed_on(&self) -> Sent {
        let mut sent = self.deployer.clone();
        sent.answered
            .retain(|(_, endpoint, status), _| *endpoint != "/health" && *status != 502);
        sent
    }

    fn asked_of_the_registry(&self) -> Sent {
        let mut sent = Sent::default();
        for ((method, endpoint, status), count) in &self.deployer.answered {
            if *endpoint == "/health" && *status != 502 {
                sent.answered.insert((method, endpoint, *status), *count);
            }
        }
        sent
    }
}
