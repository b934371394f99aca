//! A Prometheus in the cluster, which finds the agents by itself.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::agents::NAMESPACE;
use crate::control::{Control, until};

const MANIFEST: &str = include_str!("prometheus.yaml");
const SHIPPED: &str = "deploy/prometheus/kubernetes.yml";
/// What is shipped, and what of it a proof must have otherwise: seconds instead of quarters of a
/// minute.
const HASTE: [(&str, &str); 2] = [
    ("scrape_interval: 15s", "scrape_interval: 1s"),
    ("scrape_timeout: 10s", "scrape_timeout: 1s"),
];

/// Starts it with the shipped configuration, but for haste.
pub(crate) fn deploy(control: &Control) -> Result<()> {
    let manifest = MANIFEST.replace("PROGRAMS", &control.binaries.to_string_lossy());
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(SHIPPED);
    let mut text = fs::read_to_string(&path).with_context(|| format!("cannot read {SHIPPED}"))?;
    for (from, to) in HASTE {
        text = text.replace(from, to);
    }
    let configuration = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "prometheus", "namespace": NAMESPACE },
        "data": { "kubernetes.yml": text },
    });
    control.apply(&configuration.to_string(), &[])?;
    control.apply(&manifest, &[])?;
    let ready = [
        "wait",
        "--for=condition=Ready",
        "--timeout=90s",
        "pod/prometheus",
    ];
    let ready = control.kubectl(&[ready.as_slice(), &["--namespace", NAMESPACE]].concat());
    ready.map(drop).with_context(|| control.troubles(NAMESPACE))
}

/// Asks until the answer is at least that; what it is at last.
pub(crate) fn says(control: &Control, expression: &str, expected: f64) -> Result<f64> {
    let pod = control.get(&["pod", "prometheus", "--namespace", NAMESPACE])?;
    let address = pod
        .pointer("/status/podIP")
        .and_then(Value::as_str)
        .context("no address")?
        .to_owned();
    let url = format!("http://{address}:9090/api/v1/query");
    let mut last = 0.0;
    let met = until(expression, || {
        let ask = || -> Result<String> {
            let mut response = ureq::get(&url).query("query", expression).call()?;
            Ok(response.body_mut().read_to_string()?)
        };
        let answer: Value = serde_json::from_str(&control.machine.network.inside(ask)?)?;
        let value = answer
            .pointer("/data/result/0/value/1")
            .and_then(Value::as_str);
        last = value.context("nothing yet")?.parse()?;
        anyhow::ensure!(last >= expected, "{last}");
        Ok(())
    });
    met.map(|()| last).or(Ok(last))
}
