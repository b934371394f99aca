//! What may have happened in a cgroup before the programs were attached to it.
//!
//! No byte tells of a connection that ended before. But the kernel accounts for the time of every
//! process that ever ran in a cgroup: where none did, nothing can have been missed.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use procfs::process::Process;

use crate::workloads::cgroup::visit;
use crate::workloads::selectors::processes;

/// Cgroups below one that are looked at.
const MOST: usize = 256;

/// How a cgroup was found, right after the programs were attached to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Nobody has run in it: all that it does is seen.
    Empty,
    /// Somebody has; for how long those that are there have.
    Running(Duration),
}

impl Arrival {
    pub(super) fn of(cgroup: &Path) -> Self {
        // Both speak of everything below as well.
        let populated = number(&cgroup.join("cgroup.events"), "populated");
        let used = number(&cgroup.join("cpu.stat"), "usage_usec");
        // A kernel without either is not taken for one that says no.
        if populated == Some(0) && used == Some(0) {
            return Self::Empty;
        }
        Self::Running(oldest(cgroup))
    }
}

/// A line of one of the files that have a name and a number in each.
fn number(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, number) = lines.into_iter().find(|(key, _)| *key == name)?;
    number.parse().ok()
}

/// For how long the oldest process in a cgroup, or below it, has run.
fn oldest(cgroup: &Path) -> Duration {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    let mut oldest = Duration::ZERO;
    visit(cgroup, MOST, |cgroup| {
        for id in processes::of(cgroup) {
            oldest = oldest.max(age(id, now));
        }
        true
    });
    oldest
}

fn age(id: u32, now: Duration) -> Duration {
    let stat = || Process::new(id.try_into().ok()?).ok()?.stat().ok();
    let started = stat().map_or(0, |stat| stat.starttime);
    if started == 0 {
        return Duration::ZERO;
    }
    let ticks = procfs::ticks_per_second().max(1);
    let started = Duration::from_millis(started.saturating_mul(1000) / ticks);
    now.saturating_sub(started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_was_missed_only_where_nobody_ever_ran() {
        let cgroup = std::env::temp_dir().join(format!("arrival-{}", std::process::id()));
        fs::create_dir_all(cgroup.join("below")).unwrap();
        let own = std::process::id().to_string();
        let cases: &[(Option<&str>, Option<&str>, &str, bool)] = &[
            (
                Some("populated 0\nfrozen 0\n"),
                Some("usage_usec 0\nuser_usec 0\n"),
                "",
                true,
            ),
            (Some("populated 0\n"), Some("usage_usec 7\n"), "", false),
            (Some("populated 1\n"), Some("usage_usec 0\n"), &own, false),
            (Some("populated 0\n"), None, "", false),
            (None, Some("usage_usec 0\n"), "", false),
            (Some("populated x\n"), Some("usage_usec 0\n"), "", false),
        ];
        for (events, usage, process, empty) in cases {
            for (name, text) in [("cgroup.events", events), ("cpu.stat", usage)] {
                let file = cgroup.join(name);
                match text {
                    Some(text) => fs::write(file, text).unwrap(),
                    None => drop(fs::remove_file(file)),
                }
            }
            fs::write(cgroup.join("below/cgroup.procs"), process).unwrap();
            match Arrival::of(&cgroup) {
                Arrival::Empty => assert!(*empty, "{events:?} {usage:?}"),
                Arrival::Running(since) => {
                    assert!(!*empty, "{events:?} {usage:?}");
                    assert_eq!(since > Duration::ZERO, !process.is_empty());
                }
            }
        }
        fs::remove_dir_all(cgroup).unwrap();
    }
}
