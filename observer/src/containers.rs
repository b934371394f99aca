//! What cAdvisor says of containers, under the same names: files of cgroups, read at the scrape.
//!
//! ```text
//!   mounts ─▶ tree: who is shown ─▶ cgroup: files ─┐
//!             directory: whose it is ─▶ identity ──┴─ metrics, a row each ─▶ Families ─▶ export
//! ```
//!
//! Files of cgroup v2; on a host with both versions those of the controllers that are mounted in
//! version 1, at the same path below their own mounts. A cgroup that goes while it is read, a file
//! that is not there and a line that is not understood cost what they would have said and no more.
#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::export::families::{Families, Source};
use crate::node::patience::{Limits, Patience, Work};
use crate::time::Timestamp;
use crate::workloads::Directory;
use host::Host;
use mounts::Hierarchies;
use past::Past;

mod cgroup;
pub mod document;
mod host;
mod identity;
mod metrics;
mod mounts;
mod past;
mod processes;
mod put;
mod settings;
mod tree;

pub use metrics::{METRICS, Metric};
pub use settings::Settings;

/// What is known of workloads once the agent runs.
pub struct View {
    /// Whose a cgroup is.
    pub directory: Directory,
    /// The cgroups that are observed, everything below included, by their paths below the mount.
    pub selected: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// The containers' metrics, as a scrape reads them; cheap to clone, all clones are one.
#[derive(Clone)]
pub struct Containers(Arc<Inner>);

struct Inner {
    settings: Settings,
    host: Host,
    /// There is nothing to show before it is known.
    view: OnceLock<View>,
    patience: Patience<()>,
    scrape: Mutex<()>,
    /// By cgroup: what an earlier scrape told.
    past: Mutex<HashMap<Arc<str>, Past>>,
    /// What was left out last, to be said once.
    told: Mutex<Option<Lack>>,
}

/// Why a scrape has not everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// There is no cgroup v2 where it is looked for.
    Mount,
    /// More cgroups than may be shown.
    Room,
    /// They could not all be read in time.
    Time,
}

// === impl Lack ===

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mount => "no cgroup v2 mount is found: see node.procfs and node.rootfs",
            Self::Room => "there are more cgroups than containers.limit",
            Self::Time => "they take longer than containers.timeout",
        })
    }
}

// === impl Containers ===

impl Containers {
    /// Of the machine under these roots; nothing before [`Self::observe`].
    #[must_use]
    pub fn new(settings: &Settings, procfs: &Path, rootfs: &Path) -> Self {
        Self(Arc::new(Inner {
            settings: settings.clone(),
            host: Host::new(procfs, rootfs),
            view: OnceLock::new(),
            patience: Patience::default(),
            scrape: Mutex::default(),
            past: Mutex::default(),
            told: Mutex::default(),
        }))
    }

    /// Has them shown from now on. Only the first view counts.
    pub fn observe(&self, view: View) {
        let _first = self.0.view.set(view);
    }
}

impl fmt::Debug for Containers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Containers")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl Source for Containers {
    fn read(&self, families: &mut Families) {
        if self.0.view.get().is_none() {
            return;
        }
        // One scrape at a time: what one is reading is not what hangs.
        let _alone = self.0.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = Arc::clone(&self.0);
        let work: Work<(), (Families, Option<Lack>)> = Arc::new(move |()| inner.collect());
        // What hangs in the kernel does not look at the clock.
        let patience = 2 * self.0.settings.timeout;
        let limits = Limits {
            each: patience,
            all: patience,
        };
        let mut lack = Some(Lack::Time);
        self.0.patience.work([()], limits, &work, |(), answer| {
            if let Some((read, lacks)) = answer {
                families.append(read);
                lack = lacks;
            }
        });
        self.0.tell(lack);
        families.gauge(
            "container_scrape_error",
            "1 if there was an error while getting container metrics, 0 otherwise",
            f64::from(u8::from(lack.is_some())),
        );
    }
}

// === impl Inner ===

impl Inner {
    /// Everything there is time for.
    fn collect(&self) -> (Families, Option<Lack>) {
        let mut families = Families::default();
        self.host.put(&mut families);
        let Some(view) = self.view.get() else {
            return (families, None);
        };
        let Some(hierarchies) = Hierarchies::of(&self.host) else {
            return (families, Some(Lack::Mount));
        };
        let started = clock::now();
        let is_late = || has_passed(started, self.settings.timeout);
        let selected = if self.settings.all {
            vec!["/".to_owned()]
        } else {
            (view.selected)()
        };
        let (shown, mut lack) = tree::shown(&hierarchies, &selected, self.settings.limit, &is_late);
        let mut past = lock(&self.past);
        let still: HashSet<&Arc<str>> = shown.iter().map(|found| &found.path).collect();
        past.retain(|path, _| still.contains(path));
        let devices = self.host.devices();
        let mut networks = HashSet::new();
        for found in &shown {
            if is_late() {
                lack = Some(Lack::Time);
                break;
            }
            let of = past.entry(Arc::clone(&found.path)).or_default();
            let reading = put::Reading {
                host: &self.host,
                hierarchies: &hierarchies,
                directory: &view.directory,
                devices: &devices,
                is_late: &is_late,
            };
            reading.put(found, of, &mut networks, &mut families);
        }
        (families, lack)
    }

    /// Says what is left out: once, and again when it is something else.
    fn tell(&self, lack: Option<Lack>) {
        let mut told = lock(&self.told);
        if let Some(why) = lack.filter(|_| *told != lack) {
            tracing::warn!(%why, "not every container has metrics");
        }
        *told = lack;
    }
}

fn has_passed(since: Timestamp, time: Duration) -> bool {
    clock::now().seconds_since(since) >= time.as_secs_f64()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
