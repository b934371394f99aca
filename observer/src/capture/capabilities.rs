//! What the kernel lets a process do beside what everybody may: which of it the agent needs, what is
//! lost without each, and what it lays down once its programs are attached.
//!
//! Capabilities belong to a thread, and a thread gives its own to those it starts. So what is laid
//! down before a stage's threads start, none of them ever has.
#![forbid(unsafe_code)]

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// A row of [`CAPABILITIES`].
#[derive(Debug)]
pub struct Capability {
    /// Its name.
    pub name: &'static str,
    /// Its bit.
    set: CapabilitySet,
    /// Nothing runs without it.
    pub required: bool,
    /// What is lost without it.
    pub without: &'static str,
    /// Who keeps it once the programs are attached.
    kept: &'static [Duty],
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Changes maps, and attaches the programs to cgroups that come.
    Capture,
    /// Answers requests, and reads counters for them.
    Serve,
    /// Reads what others wrote.
    Read,
}

/// Every capability that the agent makes something of.
pub const CAPABILITIES: [Capability; 5] = [
    Capability {
        name: "CAP_BPF",
        set: CapabilitySet::BPF,
        required: true,
        without: "no program can be loaded",
        // Counters are read at a scrape, for which kernels before 5.19 ask it.
        kept: &[Duty::Capture, Duty::Serve],
    },
    Capability {
        name: "CAP_PERFMON",
        set: CapabilitySet::PERFMON,
        required: true,
        without: "no program may read what it observes",
        kept: &[],
    },
    Capability {
        name: "CAP_NET_ADMIN",
        set: CapabilitySet::NET_ADMIN,
        required: true,
        without: "no program can be attached to a cgroup",
        kept: &[Duty::Capture],
    },
    Capability {
        name: "CAP_SYS_PTRACE",
        set: CapabilitySet::SYS_PTRACE,
        required: false,
        without: "listeners that are served from another cgroup than made in are not told",
        kept: &[],
    },
    Capability {
        name: "CAP_DAC_READ_SEARCH",
        set: CapabilitySet::DAC_READ_SEARCH,
        required: false,
        without: "listeners of other users are not told, nor is a file read that only its owner may read, as \
                  container engines write",
        // A configuration may change, and belong to somebody else; what container engines write
        // down is theirs alone.
        kept: &[Duty::Capture, Duty::Serve, Duty::Read],
    },
];

/// The rows that this thread lacks.
pub fn missing() -> Vec<&'static Capability> {
    // A kernel that does not answer is one without any of them.
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    lacking(held).collect()
}

fn lacking(held: CapabilitySet) -> impl Iterator<Item = &'static Capability> {
    // What loading and reading were before they had capabilities of their own.
    let held = if held.contains(CapabilitySet::SYS_ADMIN) {
        held | CapabilitySet::BPF | CapabilitySet::PERFMON
    } else {
        held
    };
    CAPABILITIES
        .iter()
        .filter(move |row| !held.contains(row.set))
}

/// Lays down, in this thread and those it will start, all that its duty does not need; names what is
/// left.
///
/// # Errors
/// What the kernel says.
pub fn keep(duty: Duty) -> io::Result<Vec<&'static str>> {
    let held = capabilities(None)?;
    let needed = needed(duty, held.permitted);
    let left = held.permitted & needed;
    set_capabilities(
        None,
        CapabilitySets {
            effective: left,
            permitted: left,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(names(left))
}

fn needed(duty: Duty, held: CapabilitySet) -> CapabilitySet {
    let rows = CAPABILITIES.iter().filter(|row| row.kept.contains(&duty));
    let needed = rows.fold(CapabilitySet::empty(), |all, row| all | row.set);
    if !held.contains(CapabilitySet::BPF) && duty != Duty::Read {
        // Then it is what stands for it.
        return needed | CapabilitySet::SYS_ADMIN;
    }
    needed
}

fn names(set: CapabilitySet) -> Vec<&'static str> {
    let mut names: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|row| set.contains(row.set))
        .map(|row| row.name)
        .collect();
    if set.contains(CapabilitySet::SYS_ADMIN) {
        names.push("CAP_SYS_ADMIN");
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_capability_that_is_taken_away_is_the_one_that_is_missed() {
        let all = CAPABILITIES
            .iter()
            .fold(CapabilitySet::empty(), |all, row| all | row.set);
        assert_eq!(lacking(all).count(), 0);
        for row in &CAPABILITIES {
            let missed: Vec<_> = lacking(all - row.set).map(|missed| missed.name).collect();
            assert_eq!(missed, [row.name]);
        }
    }

    #[test]
    fn what_was_enough_before_5_8_is_enough() {
        let held = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
        assert!(lacking(held).all(|row| !row.required));
        assert_eq!(
            needed(Duty::Capture, held) & held,
            CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN
        );
    }

    #[test]
    fn whoever_answers_requests_may_attach_nothing() {
        let all = CapabilitySet::all();
        assert_eq!(
            names(needed(Duty::Serve, all)),
            ["CAP_BPF", "CAP_DAC_READ_SEARCH"]
        );
        assert_eq!(
            names(needed(Duty::Capture, all)),
            ["CAP_BPF", "CAP_NET_ADMIN", "CAP_DAC_READ_SEARCH"]
        );
    }

    #[test]
    fn whoever_reads_may_do_nothing_else() {
        let old = CapabilitySet::SYS_ADMIN | CapabilitySet::DAC_READ_SEARCH;
        for held in [CapabilitySet::all(), old] {
            assert_eq!(names(needed(Duty::Read, held)), ["CAP_DAC_READ_SEARCH"]);
        }
    }

    #[test]
    fn a_thread_that_laid_them_down_has_them_no_more() {
        let thread = std::thread::spawn(|| {
            let left = keep(Duty::Serve).unwrap();
            let held = capabilities(None).unwrap();
            (left, held.effective | held.permitted)
        });
        let (left, held) = thread.join().unwrap();
        assert_eq!(names(held), left);
        let kept = CapabilitySet::BPF | CapabilitySet::DAC_READ_SEARCH;
        assert!((held - kept).is_empty(), "{held:?}");
    }
}
