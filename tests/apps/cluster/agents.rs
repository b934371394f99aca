//! The agents, one on each node, and what they say together.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use observer_tests::process::finish;
use observer_tests::scrape::Scrape;
use serde_json::Value;

use crate::control::{Control, until};

/// Where they are.
pub(crate) const NAMESPACE: &str = "naytife-monitoring";
/// As they are shipped.
pub(crate) const OVERLAYS: [&str; 4] = ["local", "staging", "production", "least-privilege"];
const PORT: u16 = 9464;
/// How long an agent may take to answer before it is taken for gone.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long all of them may take to go.
const PARTING: Duration = Duration::from_mins(5);

/// Where they answer; a rolling update has other ones.
pub(crate) struct Agents {
    addresses: Vec<SocketAddr>,
    client: ureq::Agent,
}

/// An overlay as kustomize makes it.
pub(crate) fn manifest(overlay: &str) -> Result<String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let kustomize = project.join(".tools/manifests/kustomize");
    let directory = project.join("deploy/overlays").join(overlay);
    finish(Command::new(kustomize).arg("build").arg(directory))
}

/// What an agent said last.
#[derive(Clone)]
pub(crate) struct Farewell {
    pub(crate) text: String,
    /// Before it was asked, in Unix time.
    pub(crate) said: Duration,
}

impl Agents {
    /// Applies an overlay and waits until every node has an agent that is ready.
    pub(crate) fn roll_out(control: &Control, overlay: &str, nodes: usize) -> Result<Self> {
        control.apply(&manifest(overlay)?, &[])?;
        control.rolled_out(NAMESPACE, "daemonset/observer")?;
        Self::find(control, nodes)
    }

    fn find(control: &Control, nodes: usize) -> Result<Self> {
        let selector = "--selector=app.kubernetes.io/name=observer";
        let addresses = until("there is one agent for each node", || {
            let pods = control.get(&["pods", "--namespace", NAMESPACE, selector])?;
            let pods = pods
                .get("items")
                .and_then(Value::as_array)
                .context("no list")?;
            ensure!(pods.len() == nodes, "{} pods", pods.len());
            let address = |pod: &Value| {
                let text = pod
                    .pointer("/status/podIP")
                    .and_then(Value::as_str)
                    .context("no address yet")?;
                Ok(SocketAddr::new(text.parse()?, PORT))
            };
            pods.iter().map(address).collect::<Result<Vec<_>>>()
        })?;
        let client = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .into();
        Ok(Self { addresses, client })
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.addresses.len()
    }

    /// What all of them say, in one: sums over it are sums over the cluster.
    pub(crate) fn scrape(&self, control: &Control) -> Result<Scrape> {
        let fetch = || -> Result<String> {
            let texts = self.addresses.iter().map(|address| {
                let url = format!("http://{address}/metrics");
                let mut response = self.client.get(url).call()?;
                let body = response.body_mut().with_config().limit(256 << 20);
                Ok(body.read_to_string()?)
            });
            texts.collect()
        };
        Scrape::parse(&control.machine.network.inside(fetch)?)
    }

    /// Has somebody look at them ten times a second, until each is gone.
    pub(crate) fn part(&self, control: &Control) -> Result<JoinHandle<Result<Vec<Farewell>>>> {
        let network = control.machine.network.try_clone()?;
        let addresses = self.addresses.clone();
        let client: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(LOOK))
            .build()
            .into();
        let see_off = move || {
            let until = Instant::now() + PARTING;
            let mut last: Vec<Option<Farewell>> = vec![None; addresses.len()];
            let mut there = vec![true; addresses.len()];
            while there.contains(&true) {
                ensure!(Instant::now() < until, "an agent stays: {addresses:?}");
                for ((address, last), there) in addresses.iter().zip(&mut last).zip(&mut there) {
                    if !*there {
                        continue;
                    }
                    let said = UNIX_EPOCH.elapsed()?;
                    let url = format!("http://{address}/metrics");
                    match client.get(url).call() {
                        Ok(mut response) => {
                            let body = response.body_mut().with_config().limit(256 << 20);
                            // One that ends in the middle of its answer was there before.
                            if let Ok(text) = body.read_to_string() {
                                *last = Some(Farewell { text, said });
                            }
                        }
                        Err(_) => *there = false,
                    }
                }
                sleep(LOOK_AGAIN);
            }
            last.into_iter()
                .map(|last| last.context("an agent that never answered"))
                .collect()
        };
        Ok(spawn(move || network.inside(see_off)))
    }

    /// When each was ready, as kubelet says, in whole seconds of Unix time.
    pub(crate) fn ready_since(control: &Control) -> Result<Vec<Duration>> {
        let selector = "--selector=app.kubernetes.io/name=observer";
        let pods = control.get(&["pods", "--namespace", NAMESPACE, selector])?;
        let pods = pods.get("items").and_then(Value::as_array);
        let since = |pod: &Value| {
            let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
            let is_ready =
                |condition: &&Value| condition.get("type").and_then(Value::as_str) == Some("Ready");
            let ready = conditions.into_iter().flatten().find(is_ready);
            let since = ready.and_then(|ready| ready.get("lastTransitionTime"));
            let since = since
                .and_then(Value::as_str)
                .context("a pod that is not ready")?;
            Ok(humantime::parse_rfc3339(since)?.duration_since(UNIX_EPOCH)?)
        };
        pods.context("no list")?.iter().map(since).collect()
    }

    /// The same, once all that was seen is in it.
    pub(crate) fn settled(&self, control: &Control) -> Result<Scrape> {
        until("every ledger closes", || {
            let scrape = self.scrape(control)?;
            scrape.ledger_closes()?;
            scrape.stages_agree()
        })?;
        // An agent's own numbers come last in a scrape: what they speak of is in the next one.
        self.scrape(control)
    }
}
