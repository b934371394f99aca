//! What is observed, by who it is, and who is asked who that is.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

/// Workloads that are observed. Each kind has its own conditions, and what meets those of one kind
/// is selected; without any condition everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    /// Namespaces of pods.
    pub namespaces: Vec<String>,
    /// Label selectors of pods as `kubectl --selector` has them; one of them has to match.
    pub labels: Vec<String>,
    /// Projects of Compose.
    pub projects: Vec<String>,
    /// Services of Compose, or names of containers that belong to none.
    pub services: Vec<String>,
    /// Patterns of systemd units: `shop-*.service`.
    pub units: Vec<String>,
    /// Patterns of cgroup v2 paths below the mount: `/shop/*`.
    pub cgroups: Vec<String>,
    /// Names of executables; the cgroup of such a process is selected.
    pub executables: Vec<String>,
}

/// Who is asked about pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    /// The node whose pods are watched; without it the API is not asked.
    pub node: Option<String>,
    /// How the API is reached; without it as from within a pod.
    pub kubeconfig: Option<PathBuf>,
    /// Where the kubelet keeps the logs of pods: a pod that nobody told about is named by its
    /// directory there.
    pub pod_logs: PathBuf,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            node: None,
            kubeconfig: None,
            pod_logs: "/var/log/pods".into(),
        }
    }
}

/// Who is asked about containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Engines {
    /// Sockets of Docker and Podman; those that are not there are not asked.
    pub sockets: Vec<PathBuf>,
    /// Where engines keep a directory for each container, read where no socket tells.
    pub directories: Vec<PathBuf>,
}

impl Default for Engines {
    fn default() -> Self {
        Self {
            sockets: vec![
                "/var/run/docker.sock".into(),
                "/run/podman/podman.sock".into(),
            ],
            directories: vec![
                "/var/lib/docker/containers".into(),
                "/var/lib/containers/storage/overlay-containers".into(),
                "/var/lib/containers/storage/vfs-containers".into(),
            ],
        }
    }
}
