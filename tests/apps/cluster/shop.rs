//! The platform in small: three services, a pooler, a database and a cache, as pods with the labels
//! that the platform gives them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::control::Control;

/// Where it all is.
pub(crate) const NAMESPACE: &str = "naytife";
/// As the pooler hands it on.
pub(crate) const DATABASE: &str = "naytifedb";

/// A row of the table.
pub(crate) struct Server {
    /// Its Deployment's, its container's and its service's.
    pub(crate) name: &'static str,
    /// What the label `service` calls it.
    pub(crate) label: &'static str,
    /// Labels of its pods besides `part-of`, as the platform has them.
    labels: &'static [(&'static str, &'static str)],
    /// The last component of its service's address.
    host: u8,
    port: u16,
    /// On which of two nodes; anywhere if none.
    node: Option<u8>,
    /// Whether kubelet asks it for `/ready`; where it does not speak HTTP, whether it accepts.
    pub(crate) http: bool,
    /// Who runs it, of the image's users.
    user: u32,
    script: &'static str,
}

const ROOT: u32 = 0;
const POSTGRES: u32 = 70;
const NOBODY: u32 = 65534;

/// In the order in which they need one another.
#[rustfmt::skip]
pub(crate) const SERVERS: [Server; 6] = [
    Server { name: "naytife-postgres", label: "naytife-postgres", labels: &[("cnpg.io/cluster", "naytife-postgres"), ("cnpg.io/podRole", "instance")], host: 10, port: 5432, node: Some(1), http: false, user: POSTGRES, script: include_str!("scripts/postgres.sh") },
    Server { name: "naytife-postgres-pooler", label: "naytife-postgres-pooler", labels: &[("cnpg.io/cluster", "naytife-postgres"), ("cnpg.io/poolerName", "naytife-postgres-pooler"), ("cnpg.io/podRole", "pooler")], host: 11, port: 5432, node: Some(2), http: false, user: POSTGRES, script: include_str!("scripts/pgbouncer.sh") },
    Server { name: "redis", label: "redis", labels: &[("app", "redis"), ("app.kubernetes.io/name", "redis")], host: 12, port: 6379, node: Some(2), http: false, user: ROOT, script: include_str!("scripts/redis.sh") },
    Server { name: "backend", label: "backend", labels: &[("app", "backend"), ("app.kubernetes.io/name", "backend")], host: 20, port: 8000, node: None, http: true, user: ROOT, script: include_str!("scripts/backend.sh") },
    Server { name: "template-registry", label: "template-registry", labels: &[("app", "template-registry"), ("app.kubernetes.io/name", "template-registry")], host: 21, port: 9001, node: Some(1), http: true, user: NOBODY, script: include_str!("scripts/template-registry.sh") },
    Server { name: "store-deployer", label: "store-deployer", labels: &[("app", "store-deployer"), ("app.kubernetes.io/name", "store-deployer")], host: 22, port: 9003, node: Some(2), http: true, user: NOBODY, script: include_str!("scripts/store-deployer.sh") },
];

/// The server of a name.
pub(crate) fn server(name: &str) -> Result<&'static Server> {
    let found = SERVERS.iter().find(|server| server.name == name);
    found.with_context(|| format!("there is no {name}"))
}

/// Makes all of it and waits until it serves.
pub(crate) fn deploy(control: &Control, programs: &Path, logs: &Path, nodes: usize) -> Result<()> {
    let label = json!({ "app.kubernetes.io/part-of": "naytife-platform" });
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": label },
    });
    control.apply(&namespace.to_string(), &[])?;
    for server in &SERVERS {
        let objects = json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": [server.service(), server.deployment(programs, logs, nodes)],
        });
        control.apply(&objects.to_string(), &[])?;
        control.rolled_out(NAMESPACE, &format!("deployment/{}", server.name))?;
    }
    Ok(())
}

// === impl Server ===

impl Server {
    /// Where its service is.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::new(10, 96, 0, self.host), self.port).into()
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": self.name, "namespace": NAMESPACE },
            "spec": {
                "clusterIP": self.address().ip().to_string(),
                "selector": { "served-by": self.name },
                "ports": [{ "port": self.port }],
            },
        })
    }

    fn deployment(&self, programs: &Path, logs: &Path, nodes: usize) -> Value {
        let own = [("served-by", self.name)];
        let part = [("app.kubernetes.io/part-of", "naytife-platform")];
        // The operator's pods are no part of it, as far as their labels tell.
        let is_part = self.labels.iter().any(|(name, _)| *name == "app");
        let labels = own.iter().chain(self.labels);
        let labels = labels.chain(part.iter().filter(|_| is_part));
        let labels: BTreeMap<&str, &str> = labels.copied().collect();
        let probe = if self.http {
            json!({ "httpGet": { "path": "/ready", "port": self.port }, "periodSeconds": 2 })
        } else {
            json!({ "tcpSocket": { "port": self.port }, "periodSeconds": 2 })
        };
        let host = |name: &str, path: &Path| json!({ "name": name, "hostPath": { "path": path, "type": "Directory" } });
        let node = self.node.filter(|node| usize::from(*node) <= nodes);
        let selector = match (self.node, node) {
            (None, _) => json!({}),
            (_, node) => json!({ "kubernetes.io/hostname": format!("node{}", node.unwrap_or(1)) }),
        };
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": self.name, "namespace": NAMESPACE },
            "spec": {
                "selector": { "matchLabels": { "served-by": self.name } },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": {
                        "nodeSelector": selector,
                        "dnsPolicy": "Default",
                        "automountServiceAccountToken": false,
                        // The first process of a pod does not end by SIGTERM: until it is killed,
                        // everybody has heard that it is to go.
                        "terminationGracePeriodSeconds": 4,
                        "securityContext": { "runAsUser": self.user, "runAsGroup": self.user },
                        "containers": [{
                            "name": self.name,
                            "image": "naytife/host:0.1.0",
                            "imagePullPolicy": "Never",
                            "command": ["/bin/sh", "-euc", self.script],
                            "readinessProbe": probe,
                            "livenessProbe": probe,
                            "volumeMounts": [
                                { "name": "usr", "mountPath": "/usr", "readOnly": true },
                                { "name": "programs", "mountPath": "/programs", "readOnly": true },
                                { "name": "logs", "mountPath": "/logs" },
                                { "name": "scratch", "mountPath": "/tmp" },
                            ],
                        }],
                        "volumes": [
                            host("usr", Path::new("/usr")),
                            host("programs", programs),
                            host("logs", logs),
                            { "name": "scratch", "emptyDir": {} },
                        ],
                    },
                },
            },
        })
    }
}
