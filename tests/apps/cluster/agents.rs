//! The agents, one on each node, and what they say together.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

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
