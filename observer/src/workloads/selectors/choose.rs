//! Which of the cgroups that are there are observed now.
//!
//! What was chosen stays so until its cgroup is gone or belongs to somebody else: a pod that the API
//! forgets before its last connection has ended is counted to its end, and a program that is started
//! again in its cgroup is seen from its beginning.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::Selectors;
use crate::workloads::directory::{Directory, Kind};
use crate::workloads::place::Place;

/// A cgroup by its path below the mount, and its id.
pub type Cgroup = (Arc<str>, u64);

/// A cgroup that is observed for what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its id: one that is made again under the same path is another.
    pub id: u64,
    /// What the label `service` calls it.
    pub service: Arc<str>,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// By what its path, or somebody who knows it, says.
    Owner,
    /// For a process that is, or was, in it.
    Process,
}

/// By path, none of them below another.
pub type Choice = HashMap<Arc<str>, Chosen, foldhash::fast::RandomState>;

impl Selectors {
    /// Chooses among cgroups in the order of their paths; `has_process` is asked of those that are
    /// not selected otherwise, where processes matter.
    pub fn choose(
        &self,
        cgroups: &[Cgroup],
        directory: &Directory,
        before: &Choice,
        mut has_process: impl FnMut(&str) -> bool,
    ) -> Choice {
        let mut choice = Choice::default();
        for (path, id) in cgroups {
            if above(path).any(|path| choice.contains_key(path)) {
                continue;
            }
            let Some(workload) = directory.workload(path) else {
                continue;
            };
            let known = before.get(path).filter(|chosen| chosen.id == *id);
            let why = if self.selects(path, &workload) {
                Why::Owner
            } else if let Some(known) = known
                && self.stays(path, known, &workload.kind)
            {
                known.why
            } else if self.reads_processes() && has_process(path) {
                Why::Process
            } else {
                continue;
            };
            let forgotten = known.filter(|_| workload.kind == Kind::Cgroup);
            let chosen = Chosen {
                id: *id,
                service: forgotten.map_or(workload.service, |known| Arc::clone(&known.service)),
                why,
            };
            choice.insert(Arc::clone(path), chosen);
        }
        choice
    }

    /// Whether what was chosen goes on although nothing says so any more.
    fn stays(&self, path: &str, chosen: &Chosen, kind: &Kind) -> bool {
        let told = matches!(Place::of(path), Place::Pod { .. } | Place::Container(_));
        match chosen.why {
            Why::Owner => self.asks() && told && *kind == Kind::Cgroup,
            Why::Process => self.reads_processes(),
        }
    }
}

/// Names in one line.
const LISTED: usize = 8;

/// What the label `service` calls those who run in a chosen cgroup and below it, as far as they are
/// there: what is below may be somebody of its own.
#[must_use]
pub fn services(
    (path, chosen): (&str, &Chosen),
    cgroups: &[Cgroup],
    directory: &Directory,
    runs: impl Fn(&str) -> bool,
) -> String {
    let is_within = |within: &str| {
        let rest = within.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut names: Vec<Arc<str>> = Vec::new();
    for (within, _) in cgroups {
        if is_within(within) && runs(within) {
            let own = &**within == path;
            let workload = if own {
                None
            } else {
                directory.workload(within)
            };
            names.push(workload.map_or_else(|| Arc::clone(&chosen.service), |it| it.service));
        }
    }
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return chosen.service.to_string();
    }
    let mut list = names
        .iter()
        .take(LISTED)
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    if names.len() > LISTED {
        list.push(format!("and {} more", names.len() - LISTED));
    }
    list.join(", ")
}

/// At most so many of a choice, those first that were chosen before; how many are left out.
pub fn bounded(choice: &mut Choice, before: &Choice, most: usize) -> usize {
    let over = choice.len().saturating_sub(most);
    if over > 0 {
        let mut paths: Vec<Arc<str>> = choice.keys().cloned().collect();
        paths.sort_by_cached_key(|path| (!before.contains_key(path), Arc::clone(path)));
        let kept: HashSet<_> = paths.into_iter().take(most).collect();
        choice.retain(|path, _| kept.contains(path));
    }
    over
}

/// The paths above one, without the root.
fn above(path: &str) -> impl Iterator<Item = &str> {
    let cuts = path.match_indices('/').skip(1);
    cuts.filter_map(|(at, _)| path.get(..at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::Select;
    use crate::workloads::directory::Pod;

    const UID: &str = "7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e";
    const CONTAINER: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn cgroups(paths: &[&str]) -> Vec<Cgroup> {
        let mut paths: Vec<_> = paths.to_vec();
        paths.sort_unstable();
        let ids = 1..;
        paths.into_iter().map(Arc::from).zip(ids).collect()
    }

    fn patterns(cgroups: &[&str]) -> Selectors {
        let cgroups = cgroups.iter().map(|text| (*text).to_owned()).collect();
        let select = Select {
            cgroups,
            ..Select::default()
        };
        Selectors::new(&select).unwrap()
    }

    fn executables() -> Selectors {
        let select = Select {
            executables: vec!["node".into()],
            ..Select::default()
        };
        Selectors::new(&select).unwrap()
    }

    fn paths(choice: &Choice) -> Vec<&str> {
        let mut paths: Vec<&str> = choice.keys().map(AsRef::as_ref).collect();
        paths.sort_unstable();
        paths
    }

    fn never(_: &str) -> bool {
        false
    }

    #[test]
    fn what_is_below_a_chosen_cgroup_is_chosen_with_it() {
        let selectors = patterns(&["/shop*", "/shop*/*", "/**/db"]);
        let all = cgroups(&[
            "/",
            "/shop",
            "/shop/api",
            "/shop-2",
            "/a/b/db",
            "/a",
            "/a/b",
        ]);
        let none = Choice::default();
        let choice = selectors.choose(&all, &Directory::default(), &none, never);
        assert_eq!(paths(&choice), ["/a/b/db", "/shop", "/shop-2"]);
    }

    #[test]
    fn a_pod_is_chosen_before_its_containers_and_stays_to_its_end() {
        let select = Select {
            namespaces: vec!["naytife".into()],
            ..Select::default()
        };
        let selectors = Selectors::new(&select).unwrap();
        let directory = Directory::default();
        let pod = Pod {
            uid: UID.into(),
            namespace: "naytife".into(),
            name: "backend-1".into(),
            ..Pod::default()
        };
        let own = format!("/kubepods/pod{UID}");
        let first = cgroups(&["/", "/kubepods", &own]);
        let choose =
            |all: &[Cgroup], before: &Choice| selectors.choose(all, &directory, before, never);
        assert_eq!(choose(&first, &Choice::default()), Choice::default());
        directory.set_pod(pod.clone());
        let choice = choose(&first, &Choice::default());
        assert_eq!(paths(&choice), [own.as_str()]);
        assert_eq!(&*choice[own.as_str()].service, "backend-1");
        let container = format!("{own}/{CONTAINER}");
        let full = cgroups(&["/", "/kubepods", &own, &container]);
        assert_eq!(choose(&full, &choice), choice);
        directory.remove_pod(UID);
        assert_eq!(
            choose(&full, &choice),
            choice,
            "it is forgotten, and still there"
        );
        // Made again, it is another one.
        let mut again = full.clone();
        again[2].1 = 77;
        assert_eq!(choose(&again, &choice), Choice::default());
        // Known as somebody else's.
        directory.set_pod(Pod {
            namespace: "other".into(),
            ..pod
        });
        assert_eq!(choose(&full, &choice), Choice::default());
    }

    #[test]
    fn a_cgroup_with_a_process_is_chosen_and_stays_when_that_ends() {
        let selectors = executables();
        let all = cgroups(&["/", "/a", "/a/b", "/c"]);
        let directory = Directory::default();
        let choice = selectors.choose(&all, &directory, &Choice::default(), |path| path == "/a/b");
        assert_eq!(paths(&choice), ["/a/b"]);
        assert_eq!(selectors.choose(&all, &directory, &choice, never), choice);
        let other = patterns(&["/none"]);
        assert_eq!(
            paths(&other.choose(&all, &directory, &choice, never)).len(),
            0
        );
    }

    #[test]
    fn a_chosen_cgroup_goes_by_the_names_of_those_who_run_in_it_and_below() {
        let all = cgroups(&[
            "/",
            "/shop",
            "/shop/api",
            "/shop/db",
            "/shop/idle",
            "/shopping",
        ]);
        let directory = Directory::default();
        let choice = patterns(&["/shop"]).choose(&all, &directory, &Choice::default(), never);
        let called = |running: &[&str]| {
            let chosen = ("/shop", &choice["/shop"]);
            services(chosen, &all, &directory, |path| running.contains(&path))
        };
        for (running, expected) in [
            (&[][..], "shop"),
            (&["/shop"], "shop"),
            (&["/", "/shopping"], "shop"),
            (&["/shop/db", "/shop/api"], "api, db"),
            (&["/shop", "/shop/api"], "api, shop"),
        ] {
            assert_eq!(called(running), expected, "{running:?}");
        }
        let names: Vec<String> = (0..12).map(|number| format!("/shop/{number:02}")).collect();
        let many: Vec<&str> = names.iter().map(String::as_str).collect();
        let (all, chosen) = (cgroups(&many), ("/shop", &choice["/shop"]));
        assert_eq!(
            services(chosen, &all, &directory, |_| true),
            "00, 01, 02, 03, 04, 05, 06, 07, and 4 more"
        );
    }

    #[test]
    fn nobody_chooses_the_root() {
        let all = cgroups(&["/"]);
        let none = Choice::default();
        let choice = executables().choose(&all, &Directory::default(), &none, |_| true);
        assert_eq!(choice, none);
    }

    #[test]
    fn past_the_bound_those_that_were_chosen_first_stay() {
        let all = cgroups(&["/a", "/b", "/c", "/d"]);
        let directory = Directory::default();
        let some = patterns(&["/d"]).choose(&all, &directory, &Choice::default(), never);
        let mut every = patterns(&["/*"]).choose(&all, &directory, &some, never);
        assert_eq!(bounded(&mut every, &some, 2), 2);
        assert_eq!(paths(&every), ["/a", "/d"]);
        assert_eq!(bounded(&mut every, &some, 2), 0);
    }
}
