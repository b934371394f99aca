//! Processes of a cgroup, where they matter to the selection.
//!
//! A process in the root cgroup cannot be told from all others there, so nobody asks for the root's.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::Selectors;

/// Processes of one cgroup that are looked at.
const MOST: usize = 4096;
/// Processes that are remembered; those beyond are looked at each time.
const REMEMBERED: usize = 65_536;
/// How long a process is looked at each time: what is made to execute something else does so soon.
const YOUNG: Duration = Duration::from_secs(1);
/// Until one that is older is looked at again.
const AGAIN: Duration = Duration::from_secs(4);

/// The processes in a cgroup, not those below it.
pub fn of(cgroup: &Path) -> impl Iterator<Item = u32> {
    let list = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let ids: Vec<u32> = list
        .lines()
        .filter_map(|line| line.parse().ok())
        .take(MOST)
        .collect();
    ids.into_iter()
}

impl Selectors {
    /// Whether a process in this cgroup is one that is selected; `proc` is where processes are.
    #[must_use]
    pub fn selects_any_process(&self, cgroup: &Path, proc: &Path) -> bool {
        names(cgroup, proc).any(|name| self.selects_process(&name))
    }

    /// The same, of those processes alone that may be selected by now.
    pub fn selects_any_new_process(
        &self,
        cgroup: &Path,
        proc: &Path,
        others: &mut Others,
        now: Instant,
    ) -> bool {
        of(cgroup).any(|id| {
            others.is_due(id, now) && {
                let is_selected = self.selects_process_at(&proc.join(id.to_string()));
                if is_selected {
                    others.seen.remove(&id);
                }
                is_selected
            }
        })
    }

    fn selects_process_at(&self, directory: &Path) -> bool {
        name(directory).is_some_and(|name| self.selects_process(&name))
    }
}

/// What the processes in a cgroup are called, as everybody may read it: their executables would be
/// hidden from an agent that has laid down its privileges, and not from one that asks before.
pub fn names(cgroup: &Path, proc: &Path) -> impl Iterator<Item = String> {
    of(cgroup).filter_map(move |id| name(&proc.join(id.to_string())))
}

fn name(directory: &Path) -> Option<String> {
    let name = fs::read_to_string(directory.join("comm")).ok()?;
    Some(name.trim_end_matches('\n').to_owned())
}

/// Processes that were looked at and are not selected.
///
/// One that has ended is forgotten when it is not met in a [pass](Self::pass). Where another has its
/// number before that, it is looked at as one that executes something else: when it is due.
#[derive(Debug, Default)]
pub struct Others {
    seen: HashMap<u32, Seen, foldhash::fast::RandomState>,
    pass: u64,
}

#[derive(Debug)]
struct Seen {
    first: Instant,
    last: Instant,
    pass: u64,
}

impl Others {
    /// A pass over all cgroups is over.
    pub fn pass(&mut self) {
        let pass = self.pass;
        self.seen.retain(|_, seen| seen.pass == pass);
        self.pass += 1;
    }

    /// Whether a process is to be looked at, which is then done.
    fn is_due(&mut self, id: u32, now: Instant) -> bool {
        let pass = self.pass;
        if let Some(seen) = self.seen.get_mut(&id) {
            seen.pass = pass;
            let since = |time| now.saturating_duration_since(time);
            let is_due = since(seen.first) < YOUNG || since(seen.last) >= AGAIN;
            if is_due {
                seen.last = now;
            }
            return is_due;
        }
        if self.seen.len() < REMEMBERED {
            let seen = Seen {
                first: now,
                last: now,
                pass,
            };
            self.seen.insert(id, seen);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::workloads::Select;

    #[test]
    fn a_process_goes_by_its_name_whoever_may_read_its_executable() {
        let root = std::env::temp_dir().join(format!("processes-{}", std::process::id()));
        let (cgroup, proc) = (root.join("cgroup"), root.join("proc"));
        fs::create_dir_all(&cgroup).unwrap();
        let process = |id: u32, executable: Option<&str>, command: &str| {
            let directory = proc.join(id.to_string());
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("comm"), format!("{command}\n")).unwrap();
            if let Some(executable) = executable {
                symlink(executable, directory.join("exe")).unwrap();
            }
        };
        process(1, Some("/usr/bin/node"), "MainThread");
        process(2, Some("/usr/bin/bash"), "node");
        process(3, None, "node");
        let selectors = Selectors::new(&Select {
            executables: vec!["node".into()],
            ..Select::default()
        })
        .unwrap();
        for (list, expected) in [
            ("1\n", false),
            ("2\n", true),
            ("3\n", true),
            ("1\n3\n", true),
            ("9\n", false),
            ("", false),
        ] {
            fs::write(cgroup.join("cgroup.procs"), list).unwrap();
            let found = selectors.selects_any_process(&cgroup, &proc);
            assert_eq!(found, expected, "{list}");
        }
        fs::remove_dir_all(root).unwrap();
    }
    #[test]
    fn a_process_is_looked_at_while_it_is_young_and_then_now_and_then() {
        let root = std::env::temp_dir().join(format!("others-{}", std::process::id()));
        let (cgroup, proc) = (root.join("cgroup"), root.join("proc"));
        for directory in [cgroup.clone(), proc.join("1"), proc.join("2")] {
            fs::create_dir_all(directory).unwrap();
        }
        let executes = |id: u32, command: &str| {
            fs::write(proc.join(id.to_string()).join("comm"), command).unwrap();
        };
        let runs = |list: &str| fs::write(cgroup.join("cgroup.procs"), list).unwrap();
        let selectors = Selectors::new(&Select {
            executables: vec!["node".into()],
            ..Select::default()
        })
        .unwrap();
        let mut others = Others::default();
        let start = Instant::now();
        let mut look = |milliseconds| {
            let now = start + Duration::from_millis(milliseconds);
            let found = selectors.selects_any_new_process(&cgroup, &proc, &mut others, now);
            others.pass();
            found
        };
        runs("1\n");
        executes(1, "sh");
        assert!(!look(0));
        // It is young.
        executes(1, "node");
        assert!(look(900));
        executes(1, "sh");
        assert!(!look(1000) && !look(1900));
        // It is not young any more, and is not looked at before it is due.
        executes(1, "node");
        assert!(!look(2000) && !look(5800));
        assert!(look(5900));
        executes(1, "sh");
        assert!(!look(6000) && !look(6900));
        // A new one is looked at at once beside it.
        executes(2, "node");
        runs("1\n2\n");
        assert!(look(7000));
        // One that was gone and has come again is a new one.
        executes(1, "node");
        runs("");
        assert!(!look(7100));
        runs("1\n");
        assert!(look(7200));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn past_the_bound_a_process_is_looked_at_each_time() {
        let (mut others, now) = (Others::default(), Instant::now());
        let most = u32::try_from(REMEMBERED).unwrap();
        assert!((0..=most).all(|id| others.is_due(id, now)));
        let later = now + YOUNG;
        assert!(!others.is_due(0, later) && others.is_due(most, later));
        assert_eq!(others.seen.len(), REMEMBERED);
        others.pass();
        others.pass();
        assert!(others.seen.is_empty());
    }
}
