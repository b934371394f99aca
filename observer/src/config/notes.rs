//! What is valid and does not do what may be meant, here and now.

use std::fmt;

use super::layers::Loaded;
use super::problem::Problem;
use super::{Config, Selection};
use crate::workloads::directory::Pod;
use crate::workloads::{Selectors, kubernetes};

/// Items that name nothing and are told of.
const TOLD: usize = 10;

/// Something to be known of a key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The key.
    pub key: &'static str,
    /// What it does, or does not.
    pub why: String,
    /// What to do about it; empty where there is nothing to be done.
    pub remedy: &'static str,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, why, remedy } = self;
        let mark = if remedy.is_empty() { "" } else { "; " };
        write!(f, "{key}: {why}{mark}{remedy}")
    }
}

/// Of what selects pods where nobody is asked about them.
#[must_use]
pub fn unasked(config: &Config) -> Vec<Note> {
    let (select, kubernetes) = (&config.select, &config.kubernetes);
    if kubernetes.node.is_some() {
        return Vec::new();
    }
    let logs = kubernetes.pod_logs.display();
    let note = |key, why| Note {
        key,
        why,
        remedy: "name the node (kubernetes.node, or OBSERVER_KUBERNETES_NODE)",
    };
    let mut notes = Vec::new();
    if !select.namespaces.is_empty() {
        let why = if kubernetes.pod_logs.is_dir() {
            format!(
                "without kubernetes.node, only pods that have logs in {logs} are known to be in a \
                 namespace"
            )
        } else {
            format!(
                "names nothing without kubernetes.node: the Kubernetes API is not asked, and there \
                 are no logs of pods in {logs}"
            )
        };
        notes.push(note("select.namespaces", why));
    }
    if !select.labels.is_empty() {
        let bare = Pod {
            namespace: select.namespaces.first().cloned().unwrap_or_default(),
            ..Pod::default()
        };
        let selectors = Selectors::new(select).unwrap_or_default();
        let but = if selectors.selects_pod(&bare) {
            // Who asks for the absence of a label has what is known by its logs.
            "no pod with a label"
        } else {
            "nothing"
        };
        let why = format!(
            "names {but} without kubernetes.node: the Kubernetes API, which alone tells the labels \
             of pods, is not asked"
        );
        notes.push(note("select.labels", why));
    }
    notes
}

impl Loaded {
    /// What is to be known of this configuration on this machine, each with its place.
    #[must_use]
    pub fn notes(&self) -> Vec<Problem> {
        let told = |key: &str, message: String| Problem {
            place: self.origins.blame(key),
            message: format!("note: {message}"),
        };
        let mut notes = Vec::new();
        for note in unasked(&self.config) {
            notes.push(told(note.key, note.to_string()));
        }
        if let Some(why) = kubernetes::unreachable(&self.config.kubernetes) {
            let key = "kubernetes.node";
            let message = format!("{key}: from here the Kubernetes API cannot be asked: {why}");
            notes.push(told(key, message));
        }
        // Where there is no cgroup v2, something else is to be said.
        let absent = Selection::absent(&self.config).unwrap_or_default();
        for absent in absent.iter().take(TOLD) {
            let key = format!("{}[{}]", absent.key, absent.index);
            notes.push(told(&key, absent.to_string()));
        }
        if absent.len() > TOLD {
            let more = absent.len() - TOLD;
            notes.push(Problem {
                place: None,
                message: format!("note: and {more} more name nothing that is here now"),
            });
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Layers;

    fn notes(text: &str) -> Vec<String> {
        let layers = Layers::default();
        let loaded = layers.load_from(Some((Path::new("observer.yaml"), text)));
        let notes = loaded.unwrap().notes();
        notes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_selects_pods_and_asks_nobody_is_told_with_its_place() {
        let remedy = "name the node (kubernetes.node, or OBSERVER_KUBERNETES_NODE)";
        let labels = format!(
            "note: select.labels: names nothing without kubernetes.node: the Kubernetes API, which \
             alone tells the labels of pods, is not asked; {remedy}"
        );
        let logs = |directory: &str| format!("kubernetes: {{pod_logs: {directory}}}\n");
        let nowhere = logs("/nowhere/pods");
        assert_eq!(
            notes(&format!(
                "{nowhere}select:\n  namespaces: [shop]\n  labels: [app]\n"
            )),
            [
                format!(
                    "observer.yaml:3:15: note: select.namespaces: names nothing without \
                     kubernetes.node: the Kubernetes API is not asked, and there are no logs of \
                     pods in /nowhere/pods; {remedy}"
                ),
                format!("observer.yaml:4:11: {labels}"),
            ]
        );
        let told = notes(&format!("{}select: {{namespaces: [shop]}}\n", logs("/tmp")));
        let expected = "observer.yaml:2:22: note: select.namespaces: without kubernetes.node, only \
                        pods that have logs in /tmp are known to be in a namespace";
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
        let told = notes("select: {labels: [app, '!canary']}\n");
        let expected = "observer.yaml:1:18: note: select.labels: names no pod with a label without";
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
        assert_eq!(notes(&nowhere), [""; 0]);
        assert_eq!(
            notes("select: {labels: [app]}\nkubernetes: {node: a}\n").len(),
            1
        );
    }

    #[test]
    fn a_node_that_cannot_ask_is_told_why() {
        let told = notes("kubernetes: {node: a, kubeconfig: /nowhere/config}\n");
        let expected = "observer.yaml:1:20: note: kubernetes.node: from here the Kubernetes API \
                        cannot be asked: /nowhere/config cannot be read: ";
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
    }

    #[test]
    fn a_pattern_that_names_nothing_now_is_a_note_at_its_place() {
        if Selection::of(&Config::default()).is_err() {
            // A machine without cgroup v2 says so elsewhere.
            return;
        }
        let text = "select:\n  cgroups: [/no-such,\n    nope]\n  units:\n  - no-such\n";
        assert_eq!(
            notes(text),
            [
                "observer.yaml:5:5: note: select.units[0]: \"no-such\" names no unit that is here \
                 now; the agent waits for one",
                "observer.yaml:2:13: note: select.cgroups[0]: \"/no-such\" names no cgroup that is \
                 here now; the agent waits for one",
                "observer.yaml:3:5: note: select.cgroups[1]: \"nope\" names no cgroup that is here \
                 now; the agent waits for one",
            ]
        );
        let many: Vec<String> = (0..13).map(|number| format!("/no-such-{number}")).collect();
        let told = notes(&format!("select: {{cgroups: [{}]}}\n", many.join(", ")));
        assert_eq!(told.len(), TOLD + 1);
        assert_eq!(told[TOLD], "note: and 3 more name nothing that is here now");
    }
}
