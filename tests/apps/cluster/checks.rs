//! What holds at one moment: names, probes, and what Prometheus has.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Result, ensure};
use observer_tests::scrape::Scrape;

use crate::account::{self, REQUESTS};
use crate::agents::Agents;
use crate::control::until;
use crate::shop::{NAMESPACE, SERVERS};
use crate::table::Table;
use crate::{Cluster, scraper};

/// Probes of HTTP servers, by kubelet's own figures.
pub(crate) fn probes(cluster: &Cluster, agents: &Agents, table: &mut Table) {
    let control = &cluster.control;
    for server in SERVERS.iter().filter(|server| server.http) {
        let mut last = (0, 0);
        // Between two probes all say the same.
        let _met = until("the probes are counted", || {
            let before = asked(cluster, server.name)?;
            let scrape = agents.scrape(control)?;
            let after = asked(cluster, server.name)?;
            last = (after, whole(account::probes(&scrape, server.label)));
            ensure!(before == after && last.0 == last.1, "{last:?}");
            Ok(())
        });
        let what = format!("probes by kubelet that {} answered", server.name);
        table.figure(&what, last.0, last.1);
    }
}

/// Probes of a server that succeeded, as kubelets say.
fn asked(cluster: &Cluster, container: &str) -> Result<u64> {
    let mut sum = 0.0;
    for node in &cluster.nodes {
        let url = format!("http://{}:10255/metrics/probes", node.address());
        let fetch = || Ok(ureq::get(&url).call()?.body_mut().read_to_string()?);
        let text = cluster.control.machine.network.inside(fetch)?;
        let scrape = Scrape::parse(&text)?;
        let probes = scrape.select("prober_probe_total");
        let probes = probes
            .with("namespace", NAMESPACE)
            .with("container", container);
        sum += probes.with("result", "successful").sum();
    }
    Ok(whole(sum))
}

/// What Prometheus found, and what it says of it.
pub(crate) fn prometheus(cluster: &Cluster, agents: &Agents, table: &mut Table) -> Result<()> {
    let control = &cluster.control;
    let nodes = cluster.nodes.len() as u64;
    #[expect(clippy::cast_precision_loss, reason = "one or two")]
    let up = scraper::says(control, "sum(up{job=\"observer\"})", nodes as f64)?;
    table.figure("agents that Prometheus found and scrapes", nodes, whole(up));
    let of = "{service=\"backend\",endpoint!=\"/ready\"}";
    let sum = format!("sum({REQUESTS}{of})");
    let scrape = agents.scrape(control)?;
    let counted = scrape.select(REQUESTS);
    let counted = counted
        .with("service", "backend")
        .without("endpoint", "/ready")
        .sum();
    let said = scraper::says(control, &sum, counted)?;
    table.figure(
        "requests of backend, in Prometheus",
        whole(counted),
        whole(said),
    );
    Ok(())
}

/// Values of the label that says who is observed.
pub(crate) fn services(scrape: &Scrape) -> BTreeSet<String> {
    let requests = scrape.select(REQUESTS);
    let services = requests.by(["service"]).into_keys();
    services.map(|[service]| service).collect()
}

/// Whom each service speaks to.
const PEERS: [(&str, &str); 5] = [
    ("store-deployer", "backend"),
    ("store-deployer", "template-registry"),
    ("backend", "naytife-postgres-pooler"),
    ("backend", "redis"),
    ("naytife-postgres-pooler", "naytife-postgres"),
];

pub(crate) fn peers(table: &mut Table, scrape: &Scrape) {
    let opened = scrape.select("naytife_tcp_connections_opened_total");
    let pairs = opened.by(["service", "peer"]);
    for (client, peer) in PEERS {
        let met = pairs.contains_key(&[client.to_owned(), peer.to_owned()]);
        let of = |[service, _]: &&[String; 2]| service == client;
        let all: Vec<&str> = pairs
            .keys()
            .filter(of)
            .map(|[_, peer]| peer.as_str())
            .collect();
        let what = format!("the peer of {client}");
        table.fact(
            &what,
            &peer,
            &if met { peer.into() } else { all.join(",") },
            met,
        );
    }
    let addresses = scrape.samples().filter(|sample| {
        let labels = ["peer", "client", "server", "service"];
        let mut values = labels.iter().filter_map(|name| sample.labels.get(*name));
        values.any(|value| value.parse::<IpAddr>().is_ok())
    });
    table.figure("peers that are an address", 0, addresses.count() as u64);
}

/// A counter.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a counter is a whole number that is not negative"
)]
pub(crate) fn whole(figure: f64) -> u64 {
    figure as u64
}
