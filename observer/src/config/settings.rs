//! Every key, in one table: the environment, `observer config print` and tests come from it.

use std::path::Path;

use super::scalar::{Misread, Scalar};
use super::tree::{Node, Placed, Spot};
use super::{Config, suggest};

/// A row of [`SETTINGS`].
#[derive(Debug)]
pub struct Setting {
    /// Its place in the file, sections separated by dots.
    pub key: &'static str,
    /// One sentence.
    pub help: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
    take: fn(&mut Config, &Node) -> Result<(), Misread>,
    beside: fn(&mut Config, &Path),
    show: fn(&Config) -> String,
}

impl Setting {
    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        let key = self.key.replace('.', "_").to_ascii_uppercase();
        format!("{PREFIX}{key}")
    }

    /// Its value in this configuration, as the file would have it.
    #[must_use]
    pub fn value(&self, config: &Config) -> String {
        (self.show)(config)
    }

    /// Whether it is one of those of the selection.
    #[must_use]
    pub fn selects(&self) -> bool {
        self.key == CGROUPS || self.key.starts_with("select.")
    }

    /// Whether another value takes effect while the agent runs.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.key == "rules" || self.selects()
    }

    /// Its value was read from this file, beside which relative paths are. Those of cgroups are below
    /// their mount.
    pub(super) fn stands_in(&self, file: &Path, config: &mut Config) {
        if self.key != CGROUPS {
            (self.beside)(config, file);
        }
    }
}

const PREFIX: &str = "OBSERVER_";
/// Paths below the cgroup v2 mount.
const CGROUPS: &str = "cgroups";

macro_rules! settings {
    ($($key:literal, $($field:ident).+, $help:literal;)*) => {
        /// Every key of the configuration, in the order in which a file would have them.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            key: $key,
            help: $help,
            set: |config, text| {
                config.$($field).+ = Scalar::read(text)?;
                Ok(())
            },
            take: |config, node| {
                config.$($field).+ = Scalar::of(node)?;
                Ok(())
            },
            beside: |config, file| config.$($field).+.beside(file),
            show: |config| config.$($field).+.show(),
        },)*];
    };
}

settings! {
    "listen", listen, "Where the page, the status, /metrics, /healthz and /readyz are served.";
    "web_config", web_config, "File that says who may ask and under which certificate, as exporter-toolkit reads it; without it everybody, in plaintext.";
    "cgroups", cgroups, "Cgroup v2 paths to observe, absolute or relative to the mount; none means everything but the agent.";
    "rules", rules, "File with routes, shops and statements; without it the rules built in.";
    "select.namespaces", select.namespaces, "Kubernetes namespaces whose pods are observed.";
    "select.labels", select.labels, "Label selectors of pods, as kubectl --selector has them, one of which has to match.";
    "select.projects", select.projects, "Compose projects whose containers are observed.";
    "select.services", select.services, "Compose services, or names of containers, that are observed.";
    "select.units", select.units, "Patterns of systemd units that are observed.";
    "select.cgroups", select.cgroups, "Patterns of cgroup v2 paths below the mount that are observed.";
    "select.executables", select.executables, "Names of executables whose processes' cgroups are observed.";
    "kubernetes.node", kubernetes.node, "Node whose pods are asked for; without it the Kubernetes API is not asked.";
    "kubernetes.kubeconfig", kubernetes.kubeconfig, "File that says how to reach the Kubernetes API; without it as from within a pod.";
    "kubernetes.pod_logs", kubernetes.pod_logs, "Where the kubelet keeps the logs of pods, whose directories name a pod that the API has not told about.";
    "engines.sockets", engines.sockets, "Sockets of Docker and Podman; those that are not there are not asked.";
    "engines.directories", engines.directories, "Directories in which container engines keep what they know, read where no socket tells.";
    "capture.rings", capture.rings, "Rings and so workers, 1, 2, 4 or 8; both directions of a connection share one.";
    "capture.ring_bytes", capture.ring_bytes, "Bytes of each ring, a power of two.";
    "capture.wake_bytes", capture.wake_bytes, "Unread bytes of a ring past which its reader is woken rather than left to poll.";
    "capture.poll_min", capture.poll_min, "Shortest pause between two looks at an empty ring.";
    "capture.poll_max", capture.poll_max, "Longest pause between two looks at an empty ring.";
    "capture.sockets", capture.sockets, "Sockets that may have state in the kernel at a time; the payload of others is skipped.";
    "capture.verdicts", capture.verdicts, "Verdicts that may wait to be taken over by their socket.";
    "capture.cgroups", capture.cgroups, "Cgroups that may be selected at a time.";
    "capture.attempts", capture.attempts, "Turns after which an unrecognised connection is given up.";
    "capture.budgets.undecided", capture.budgets.undecided, "Payload bytes copied per turn and direction of a connection not recognised yet.";
    "capture.budgets.http1", capture.budgets.http1, "The same of HTTP/1.";
    "capture.budgets.postgres", capture.budgets.postgres, "The same of PostgreSQL.";
    "capture.budgets.redis", capture.budgets.redis, "The same of Redis.";
    "capture.tail_bytes", capture.tail_bytes, "Bytes copied from a segment's end once the budget of the turn is spent, at most 128.";
    "capture.window_bytes", capture.window_bytes, "How far ahead of what TCP accepted a received segment may lie and still be believed.";
    "reassembly.connections", reassembly.connections, "Connections with state in user space; the idlest is forgotten for a new one.";
    "reassembly.held_bytes", reassembly.held_bytes, "Bytes one direction may hold back for bytes before them.";
    "reassembly.held_segments", reassembly.held_segments, "Segments one direction may hold back likewise.";
    "interpret.authority", interpret.authority, "client or server: the end of a connection that owns a database's facts; what is observed at the other end alone yields none.";
    "interpret.label_values", interpret.label_values, "Distinct label values, at most 256 bytes each.";
    "interpret.connections", interpret.connections, "Connections whose service and database are remembered.";
    "interpret.entities", interpret.entities, "Orders, shops and the like that are remembered, of each kind; the one not seen for the longest is forgotten.";
    "interpret.shops", interpret.shops, "Shops that are remembered; the one not seen for the longest is forgotten until the database names it again.";
    "interpret.statements", interpret.statements, "SQL texts whose name is remembered; a forgotten one is read again.";
    "interpret.queries", interpret.queries, "Values of the label query; further ones are _other.";
    "interpret.unmatched_endpoints", interpret.unmatched_endpoints, "Values of the label endpoint for paths that no rule knows; further ones are _other.";
    "interpret.graphql_operations", interpret.graphql_operations, "Values of the label operation of GraphQL; further ones are _other.";
    "interpret.databases", interpret.databases, "Values of the label database; further ones are _other.";
    "interpret.external_hosts", interpret.external_hosts, "Names of external hosts, by TLS or the Host field, in the labels peer and server; further ones are _other.";
    "interpret.pending", interpret.pending, "HTTP exchanges that wait for a proof of their shop or for what they did to the database; over it the first is unknown.";
    "interpret.trust_path_ids", interpret.trust_path_ids, "Believe a shop id in a path where no SQL is observed that could confirm it.";
    "interpret.trusted_path_ids", interpret.trusted_path_ids, "How many of them; further ones are _other.";
    "limits.lines", limits.lines, "Exposed lines of all metrics of the platform together.";
    "limits.lines_per_metric", limits.lines_per_metric, "Exposed lines of one metric.";
    "limits.metrics", limits.metrics, "Exposed lines of single metrics, by name.";
    "limits.stale", limits.stale, "How long series of a workload that is gone stay.";
    "node.enabled", node.enabled, "Whether /metrics has what node-exporter says of a machine.";
    "node.procfs", node.procfs, "Where the host's proc is mounted.";
    "node.sysfs", node.sysfs, "Where the host's sysfs is mounted.";
    "node.rootfs", node.rootfs, "Where the host's file systems are mounted.";
    "node.udev", node.udev, "Where udev keeps what it knows of disks.";
    "node.textfiles", node.textfiles, "Directory whose *.prom files are shown too; none by default.";
    "node.enable", node.enable, "Collectors to run that do not by default.";
    "node.disable", node.disable, "Collectors not to run.";
    "node.timeout", node.timeout, "How long all collectors together may hold up a scrape.";
    "node.filesystem_timeout", node.filesystem_timeout, "How long one file system may take to answer; it is then left alone until it has.";
    "node.filesystem_exclude", node.filesystem_exclude, "Regular expression of mount points that are left out.";
    "node.filesystem_types_exclude", node.filesystem_types_exclude, "Regular expression of types of file systems that are left out.";
    "node.disk_exclude", node.disk_exclude, "Regular expression of disks that are left out.";
    "node.network_exclude", node.network_exclude, "Regular expression of network devices whose traffic is left out.";
    "node.network_class_exclude", node.network_class_exclude, "Regular expression of network devices whose attributes are left out.";
    "node.arp_exclude", node.arp_exclude, "Regular expression of network devices whose neighbours are left out.";
    "node.netstat_fields", node.netstat_fields, "Regular expression of the fields of netstat, snmp and snmp6 that are shown.";
    "node.vmstat_fields", node.vmstat_fields, "Regular expression of the fields of vmstat that are shown.";
    "containers.enabled", containers.enabled, "Whether /metrics has what cAdvisor says of containers: of those that are observed.";
    "containers.all", containers.all, "Whether it has all the machine's pods, containers and units, whatever is observed.";
    "containers.limit", containers.limit, "Cgroups that are shown at most.";
    "containers.timeout", containers.timeout, "How long all of them together may hold up a scrape; what is not read by then is left out.";
    "log.level", log.level, "error, warn, info, debug or trace, or directives such as observer::capture=debug.";
    "log.format", log.format, "text or json, one line each, to standard error.";
}

/// What reading one value came to.
pub(super) enum Read {
    /// It is in force.
    Taken(&'static Setting),
    /// It is not; why.
    Refused(String),
}

/// Applies the environment and tells of each variable that is ours. Variables with our prefix that
/// are no key are left alone, since Kubernetes makes such ones for a Service named like us; one
/// that is nearly a key is refused.
pub(super) fn apply(
    config: &mut Config,
    environment: &[(String, String)],
    each: &mut dyn FnMut(&str, Read),
) {
    let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
    for (variable, value) in environment {
        if !variable.starts_with(PREFIX) || variable == "OBSERVER_CONFIG" {
            continue;
        }
        let row = SETTINGS
            .iter()
            .zip(&known)
            .find(|(_, known)| *known == variable);
        let read = match row {
            Some((setting, _)) => match (setting.set)(config, value) {
                Ok(()) => Read::Taken(setting),
                Err(message) => Read::Refused(message),
            },
            None => match near(variable, &known) {
                Some(message) => Read::Refused(message),
                None => continue,
            },
        };
        each(variable, read);
    }
}

fn near(variable: &str, known: &[String]) -> Option<String> {
    let known = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
    let near = suggest::nearest(variable.strip_prefix(PREFIX)?, known)?;
    Some(format!(
        "there is no such setting; did you mean {PREFIX}{near}?"
    ))
}

/// Applies a file and tells of each of its values, and of what belongs nowhere.
pub(super) fn take(config: &mut Config, root: &Placed, each: &mut dyn FnMut(Spot, Read)) {
    section(config, "", root, each);
}

fn section(config: &mut Config, path: &str, place: &Placed, each: &mut dyn FnMut(Spot, Read)) {
    let entries = match &place.node {
        Node::Map(entries) => entries,
        // A section with nothing in it.
        Node::Null => return,
        other => {
            let name = path.trim_end_matches('.');
            let message = format!("{} where the keys of {name} belong", other.kind());
            let whole = format!("{} where keys belong", other.kind());
            let message = if name.is_empty() { whole } else { message };
            return each(place.spot, Read::Refused(message));
        }
    };
    for (name, spot, value) in entries {
        let key = format!("{path}{name}");
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
            match (setting.take)(config, &value.node) {
                Ok(()) => each(value.spot, Read::Taken(setting)),
                Err(Misread { message, item }) => {
                    let (key, spot) = match item {
                        Some((index, spot)) => (format!("{key}[{index}]"), spot),
                        None => (key, value.spot),
                    };
                    each(spot, Read::Refused(format!("{key}: {message}")));
                }
            }
            continue;
        }
        let below = format!("{key}.");
        if SETTINGS
            .iter()
            .any(|setting| setting.key.starts_with(&below))
        {
            section(config, &below, value, each);
            continue;
        }
        let message = suggest::unknown("key", name, names(path).into_iter());
        each(*spot, Read::Refused(message));
    }
}

/// The keys and sections right below a section.
fn names(path: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = SETTINGS
        .iter()
        .filter_map(|setting| setting.key.strip_prefix(path)?.split('.').next())
        .collect();
    names.dedup();
    names
}
