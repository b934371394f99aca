//! Has what is observed follow the workloads: cgroups that come, and what is told of who is in them.
//!
//! ```text
//!   tree ─┐
//!         ├─▶ choice ─▶ capture: attach what is new, then let go
//!   directory ─┘                 └▶ tally: what was attached, and what that was too late for
//! ```
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Context as _;

use super::arrival::Arrival;
use super::watch::{self, Wake};
use crate::capture::{Capture, Followed};
use crate::config::selection::PROC;
use crate::export::agent::Selecting;
use crate::workloads::selectors::choose::{Cgroup, Choice, Chosen, bounded, services};
use crate::workloads::selectors::processes::{self, Others};
use crate::workloads::tree::{Paths, Tree, Trouble};
use crate::workloads::{Directory, Selectors};

/// Lines of the log for what one pass takes up, for what it lets go, and for what names nothing.
const TOLD: usize = 32;

/// Why what is still there is let go.
const DESELECTED: &str = "it is not selected any more";

/// What is selected now and how it came to be, to be read by scrapes.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<(Vec<PathBuf>, Selecting)>);

/// When something was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The agent began, or was told to observe something else.
    Asked,
    /// It came.
    Came,
}

/// Follows what is selected.
pub(super) struct Follow {
    mount: PathBuf,
    /// Named by their paths; the whole tree where nothing is selected.
    named: Vec<PathBuf>,
    selectors: Selectors,
    directory: Directory,
    paths: Paths,
    wake: Wake,
    /// While anything is selected by who it is.
    tree: Option<Tree>,
    choice: Choice,
    /// Processes for which nothing is selected.
    others: Others,
    most: usize,
    /// Directories that the programs could not be attached to, each said once.
    refused: HashSet<String>,
    tally: Arc<Tally>,
}

/// Where a selection comes from.
pub(super) struct Sources {
    pub(super) directory: Directory,
    pub(super) paths: Paths,
    pub(super) wake: Wake,
}

// === impl Tally ===

impl Tally {
    pub(super) fn selection(&self) -> Vec<PathBuf> {
        self.lock().0.clone()
    }

    pub(super) fn get(&self) -> Selecting {
        self.lock().1.clone()
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<PathBuf>, Selecting)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Follow ===

impl Follow {
    /// Selects what is named, and whatever the selectors choose of what is there.
    ///
    /// # Errors
    /// Where a program cannot be attached to what is named, or no thread can be had.
    pub(super) fn start(
        capture: &mut Capture,
        named: Vec<PathBuf>,
        selectors: Selectors,
        most: u32,
        sources: Sources,
    ) -> anyhow::Result<Self> {
        let mut follow = Self {
            mount: capture.cgroup_mount().to_owned(),
            named: Vec::new(),
            selectors: Selectors::default(),
            directory: sources.directory,
            paths: sources.paths,
            wake: sources.wake,
            tree: None,
            choice: Choice::default(),
            others: Others::default(),
            most: usize::try_from(most).unwrap_or(usize::MAX),
            refused: HashSet::new(),
            tally: Arc::default(),
        };
        for cgroup in &named {
            capture.attach(cgroup)?;
            follow.arrived(cgroup, Cause::Asked);
        }
        follow.begin(named, selectors)?;
        follow.pass(capture, Cause::Asked);
        follow.tell_absent();
        Ok(follow)
    }

    /// What scrapes see of it.
    pub(super) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// What is named by its path.
    pub(super) fn named(&self) -> &[PathBuf] {
        &self.named
    }

    /// Everything that is to be observed.
    pub(super) fn selection(&self) -> Vec<PathBuf> {
        let chosen = self.choice.keys().map(|path| self.place(path));
        self.named.iter().cloned().chain(chosen).collect()
    }

    /// Whether there is something to be looked at without anybody having called.
    pub(super) fn looks(&self) -> bool {
        let misses = self.selectors.asks() && self.directory.misses_pods();
        misses || self.selectors.reads_processes() || !self.refused.is_empty()
    }

    /// Selects something else; what stays is seen without a gap. The directories that are selected no
    /// more are returned.
    ///
    /// # Errors
    /// Where a program cannot be attached; then nothing has changed.
    pub(super) fn replace(
        &mut self,
        capture: &mut Capture,
        named: Vec<PathBuf>,
        selectors: Selectors,
    ) -> anyhow::Result<Vec<PathBuf>> {
        // What is gone by itself is let go in its own way.
        capture.sweep();
        let before = (self.named.clone(), self.selectors.clone());
        self.begin(named, selectors)?;
        let (choice, _) = self.choose(&self.cgroups());
        let wanted: Vec<PathBuf> = self.wanted(&choice).into_iter().collect();
        let known: HashSet<PathBuf> = capture.selected().map(Path::to_owned).collect();
        match capture.select(&wanted) {
            Ok(mut gone) => {
                self.refused.clear();
                let is_new = |cgroup: &&Path| !known.contains(*cgroup);
                for cgroup in capture.selected().filter(is_new) {
                    self.arrived(cgroup, Cause::Asked);
                }
                let no_more = before.0.iter().filter(|named| gone.contains(named));
                tell_each(no_more, |cgroup| {
                    let cgroup = cgroup.display();
                    tracing::info!(%cgroup, why = DESELECTED, "a cgroup is observed no more");
                });
                gone.extend(self.pass(capture, Cause::Asked));
                if self.selectors != before.1 {
                    self.tell_absent();
                }
                Ok(gone)
            }
            Err(error) => {
                self.begin(before.0, before.1)?;
                Err(error.into())
            }
        }
    }

    /// Takes a selection over, without anything being attached.
    fn begin(&mut self, named: Vec<PathBuf>, selectors: Selectors) -> anyhow::Result<()> {
        if selectors.is_empty() {
            self.tree = None;
        } else if self.tree.is_none() {
            let wake = self.wake.clone();
            let tree = Tree::start(self.mount.clone(), self.paths.clone(), move || wake.call());
            self.tree = Some(tree.context("cannot listen for cgroups")?);
        }
        self.named = named;
        self.selectors = selectors;
        self.others = Others::default();
        Ok(())
    }

    /// Looks at what is there, and brings it into force; the directories that are selected no more.
    pub(super) fn pass(&mut self, capture: &mut Capture, cause: Cause) -> Vec<PathBuf> {
        if self.selectors.is_empty() && self.choice.is_empty() {
            self.publish(0);
            return Vec::new();
        }
        capture.sweep();
        let cgroups = self.cgroups();
        let (choice, over) = self.choose(&cgroups);
        let followed = capture.follow(&self.wanted(&choice));
        self.tell(&choice, &cgroups, &followed);
        self.choice = choice;
        for cgroup in &followed.added {
            self.arrived(cgroup, cause);
        }
        self.refuse(&followed);
        self.publish(over);
        followed.gone
    }

    /// The programs are attached to a cgroup: what were they too late for?
    pub(super) fn arrived(&self, cgroup: &Path, cause: Cause) {
        let arrival = Arrival::of(cgroup);
        let mut tally = self.tally.lock();
        let told = &mut tally.1;
        match (cause, arrival) {
            (Cause::Asked, _) => told.asked += 1,
            (Cause::Came, Arrival::Empty) => told.empty += 1,
            (Cause::Came, Arrival::Running(since)) => {
                told.running += 1;
                told.unseen_seconds += since.as_secs_f64();
            }
        }
    }

    /// Says what is taken up, and what is let go: one that is made again under its path is both.
    fn tell(&self, choice: &Choice, cgroups: &[Cgroup], followed: &Followed) {
        let is_attached =
            |path: &str| followed.refused.is_empty() || followed.added.contains(&self.place(path));
        let is_within = |path: &str| {
            let mut above = path
                .match_indices('/')
                .filter_map(|(end, _)| path.get(..end));
            above.any(|above| choice.contains_key(above))
        };
        let runs = |path: &str| processes::of(&self.place(path)).next().is_some();
        let called = |chosen: &(&Arc<str>, &Chosen)| {
            services((chosen.0, chosen.1), cgroups, &self.directory, runs)
        };
        let gone = beyond(&self.choice, choice);
        // What a directory above takes over is observed still.
        let gone = gone.iter().filter(|gone| !is_within(gone.0));
        tell_each(gone, |gone| {
            let (path, service) = (gone.0, called(gone));
            let why = if watch::is_there(gone.1.id, &self.place(path)) {
                DESELECTED
            } else {
                "its cgroup is gone"
            };
            tracing::info!(service, cgroup = %path, why, "a workload is observed no more");
        });
        let new = beyond(choice, &self.choice);
        tell_each(new.iter().filter(|new| is_attached(new.0)), |new| {
            let (path, service) = (new.0, called(new));
            tracing::info!(service, cgroup = %path, "a workload is observed");
        });
    }

    /// Says what names nothing yet.
    fn tell_absent(&self) {
        let names = |path: &str| processes::names(&self.place(path), Path::new(PROC)).collect();
        let absent = self.selectors.absent(&self.cgroups(), names);
        tell_each(absent.iter(), |absent| tracing::info!("{absent}"));
    }

    /// What is there to be chosen from, in the order of the paths.
    fn cgroups(&self) -> Arc<[Cgroup]> {
        self.tree.as_ref().map(Tree::cgroups).unwrap_or_default()
    }

    fn choose(&mut self, cgroups: &[Cgroup]) -> (Choice, usize) {
        let mut others = std::mem::take(&mut self.others);
        let now = Instant::now();
        let has_process = |path: &str| {
            let cgroup = self.place(path);
            let (selectors, proc) = (&self.selectors, Path::new(PROC));
            selectors.selects_any_new_process(&cgroup, proc, &mut others, now)
        };
        let before = &self.choice;
        let mut choice = self
            .selectors
            .choose(cgroups, &self.directory, before, has_process);
        others.pass();
        self.others = others;
        let before = &self.choice;
        let most = self.most.saturating_sub(self.named.len());
        let over = bounded(&mut choice, before, most);
        (choice, over)
    }

    fn wanted(&self, choice: &Choice) -> HashSet<PathBuf> {
        let chosen = choice.keys().map(|path| self.place(path));
        self.named.iter().cloned().chain(chosen).collect()
    }

    fn place(&self, path: &str) -> PathBuf {
        self.mount.join(path.trim_start_matches('/'))
    }

    /// Says what could not be attached, each once.
    fn refuse(&mut self, followed: &Followed) {
        let sentences = followed.refused.iter().map(ToString::to_string);
        let now: HashSet<String> = sentences.collect();
        for sentence in now.difference(&self.refused) {
            tracing::error!(
                problem = sentence,
                "a workload cannot be observed; it is tried again"
            );
        }
        self.refused = now;
    }

    fn publish(&self, over: usize) {
        let trouble = self.tree.as_ref().map_or(Trouble::default(), Tree::trouble);
        let mut selection = self.selection();
        selection.sort_unstable();
        let waits = selection.is_empty();
        let mut tally = self.tally.lock();
        let told = &mut tally.1;
        if waits && !told.waits {
            tracing::info!("no workload that is selected is here; the agent waits for one");
        }
        if over > 0 && told.over == 0 {
            tracing::warn!(
                over,
                "more cgroups are selected than capture.cgroups allows; the others are not observed"
            );
        }
        told.waits = waits;
        told.over = over as u64;
        told.refused = self.refused.len() as u64;
        told.overflows = trouble.overflows;
        told.unwatched = trouble.unwatched;
        told.cgroups = selection.len() as u64;
        tally.0 = selection;
    }
}

/// What one choice has and another has not, in the order of the paths.
fn beyond<'c>(choice: &'c Choice, than: &Choice) -> Vec<(&'c Arc<str>, &'c Chosen)> {
    let is_other = |(path, chosen): &(&Arc<str>, &Chosen)| {
        let known = than.get(*path);
        known.is_none_or(|known| known.id != chosen.id)
    };
    let mut others: Vec<_> = choice.iter().filter(is_other).collect();
    others.sort_unstable_by_key(|(path, _)| Arc::clone(path));
    others
}

/// A line for each, as far as there is room, and one that says how many more there are.
fn tell_each<T>(all: impl Iterator<Item = T>, line: impl Fn(T)) {
    let mut more = 0_usize;
    for (number, one) in all.enumerate() {
        if number < TOLD {
            line(one);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        tracing::info!(more, "and more of the same");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::Select;
    use crate::workloads::directory::Pod;
    use crate::workloads::pod_logs::PodLogs;

    const UID: &str = "7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e";

    #[test]
    fn while_a_pod_is_missing_it_is_looked_for_again() {
        let mount = tempfile::tempdir().unwrap();
        std::fs::create_dir(mount.path().join(format!("pod{UID}"))).unwrap();
        let directory = Directory::default();
        directory.look_among(PodLogs::new(mount.path().join("no-logs")));
        let mut follow = Follow {
            mount: mount.path().to_owned(),
            named: Vec::new(),
            selectors: Selectors::default(),
            directory: directory.clone(),
            paths: Paths::default(),
            wake: Wake::new().0,
            tree: None,
            choice: Choice::default(),
            others: Others::default(),
            most: 10,
            refused: HashSet::new(),
            tally: Arc::default(),
        };
        let select = Select {
            namespaces: vec!["naytife".into()],
            ..Select::default()
        };
        follow
            .begin(Vec::new(), Selectors::new(&select).unwrap())
            .unwrap();
        for _ in 0..2 {
            assert!(follow.choose(&follow.cgroups()).0.is_empty());
            assert!(follow.looks(), "nobody has told of it");
        }
        assert!(!follow.looks(), "nothing was missed since");
        directory.set_pod(Pod {
            uid: UID.into(),
            namespace: "naytife".into(),
            ..Pod::default()
        });
        assert_eq!(follow.choose(&follow.cgroups()).0.len(), 1);
        assert!(!follow.looks(), "it is found");
        // Where nobody asks for pods, none is missed.
        directory.remove_pod(UID);
        let select = Select {
            units: vec!["nginx".into()],
            ..Select::default()
        };
        follow
            .begin(Vec::new(), Selectors::new(&select).unwrap())
            .unwrap();
        assert!(follow.choose(&follow.cgroups()).0.is_empty());
        assert!(!follow.looks());
    }
}
