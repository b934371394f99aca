//! Pods that nobody told about, by the directories the kubelet keeps their logs in.
//!
//! ```text
//!   /var/log/pods/<namespace>_<name>_<uid>/<container>/0.log
//! ```
//!
//! Labels are not written there, so who owns such a pod is guessed from its name, and it is called
//! by that.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::directory::Pod;

/// Between two looks: who asks may be on the way of a request.
const INTERVAL: Duration = Duration::from_secs(1);
/// Pods that are remembered to have been found here.
const MOST: usize = 4096;
/// What Kubernetes makes suffixes of names from: no vowels, nothing that looks like one.
const ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The directory with a directory for each pod.
#[derive(Debug)]
pub struct PodLogs {
    root: PathBuf,
    looks: Mutex<Looks>,
}

#[derive(Debug, Default)]
struct Looks {
    last: Option<Instant>,
    /// Uids that were found.
    found: HashSet<String>,
}

/// What a look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Pods that were not found before.
    pub(super) pods: Vec<Pod>,
    /// Uids of those that were found before and are gone.
    pub(super) gone: Vec<String>,
}

impl PodLogs {
    /// Where it is; it may come later.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            looks: Mutex::default(),
        }
    }

    /// Looks what there is, unless the last look was only just.
    pub(super) fn look(&self, now: Instant) -> Look {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |last: Instant| now.saturating_duration_since(last) < INTERVAL;
        if looks.last.is_some_and(recent) {
            return Look::default();
        }
        looks.last = Some(now);
        let Ok(entries) = fs::read_dir(&self.root) else {
            return Look::default();
        };
        let mut there = HashSet::new();
        let mut pods = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(one) = name.to_str().and_then(read) else {
                continue;
            };
            if there.len() >= MOST {
                break;
            }
            there.insert(one.uid.clone());
            if !looks.found.contains(&one.uid) {
                pods.push(one);
            }
        }
        let gone = looks.found.difference(&there).cloned().collect();
        looks.found = there;
        Look { pods, gone }
    }
}

/// `<namespace>_<name>_<uid>`; neither of the first two can hold the mark between them.
fn read(directory: &str) -> Option<Pod> {
    let mut parts = directory.splitn(3, '_');
    let [namespace, name, uid] = [parts.next()?, parts.next()?, parts.next()?];
    Some(Pod {
        uid: uid.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        owner: owner(name),
        ..Pod::default()
    })
}

/// Who makes pods of such a name.
fn owner(name: &str) -> Option<(String, String)> {
    let safe = |part: &str| part.chars().all(|letter| ALPHABET.contains(letter));
    let digits = |part: &str| part.bytes().all(|letter| letter.is_ascii_digit());
    let (before, last) = name.rsplit_once('-')?;
    let (kind, owner) = match before.rsplit_once('-') {
        _ if last.len() <= 3 && digits(last) => ("StatefulSet", before),
        _ if last.len() != 5 || !safe(last) => return None,
        Some((head, minute)) if minute.len() == 8 && digits(minute) => ("CronJob", head),
        Some((head, hash)) if (6..=10).contains(&hash.len()) && safe(hash) => ("Deployment", head),
        _ => ("DaemonSet", before),
    };
    Some((kind.to_owned(), owner.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_guessed_from_how_kubernetes_names_pods() {
        for (name, guess) in [
            ("backend-6c9f7d8b5c-x2vkq", Some(("Deployment", "backend"))),
            (
                "store-deployer-7b5d4c-zz9pl",
                Some(("Deployment", "store-deployer")),
            ),
            ("node-exporter-x7k2p", Some(("DaemonSet", "node-exporter"))),
            (
                "naytife-postgres-1",
                Some(("StatefulSet", "naytife-postgres")),
            ),
            ("backup-28930120-4tkzm", Some(("CronJob", "backup"))),
            ("debug", None),
            ("a-hand-made-name", None),
        ] {
            let owner = owner(name);
            let owner = owner.as_ref().map(|(kind, name)| (&**kind, &**name));
            assert_eq!(owner, guess, "{name}");
        }
    }

    #[test]
    fn a_look_finds_all_that_is_new_or_gone_at_most_once_a_second() {
        let root = std::env::temp_dir().join(format!("observer-pod-logs-{}", std::process::id()));
        let [a, b] = ["naytife_api-6c9f7d8b5c-x2vkq_uid-a", "naytife_db-0_uid-b"];
        for pod in [a, b, "no-pod", "half_a"] {
            fs::create_dir_all(root.join(pod)).unwrap();
        }
        let logs = PodLogs::new(root.clone());
        let start = Instant::now();
        let mut found = logs.look(start).pods;
        found.sort_by(|a, b| a.uid.cmp(&b.uid));
        let found: Vec<_> = found
            .iter()
            .map(|pod| (&*pod.namespace, pod.service()))
            .collect();
        assert_eq!(found, [("naytife", "api"), ("naytife", "db")]);
        fs::remove_dir(root.join(a)).unwrap();
        assert_eq!(logs.look(start), Look::default());
        let look = logs.look(start + INTERVAL);
        assert_eq!((look.pods, look.gone), (vec![], vec!["uid-a".to_owned()]));
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(logs.look(start + 2 * INTERVAL), Look::default());
    }
}
