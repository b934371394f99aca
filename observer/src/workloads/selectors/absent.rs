//! What of a selection is nowhere on this machine now: it may come, or be misspelt.

use std::collections::HashSet;
use std::fmt;

use super::choose::Cgroup;
use super::{Selectors, is_called, unit_of};

/// An item of a list that names nothing now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// Of the list, in the configuration.
    pub key: &'static str,
    /// Of the item, from 0.
    pub index: usize,
    /// What stands there.
    pub value: String,
    what: &'static str,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key, index, value, ..
        } = self;
        let what = self.what;
        write!(
            f,
            "{key}[{index}]: \"{value}\" names no {what} that is here now; the agent waits for one"
        )
    }
}

impl Selectors {
    /// What is told by paths and processes alone: pods and containers are known to others. `names`
    /// tells what the processes in a cgroup are called.
    pub fn absent(&self, cgroups: &[Cgroup], names: impl Fn(&str) -> Vec<String>) -> Vec<Absent> {
        // Nobody chooses the root.
        let paths = || {
            cgroups
                .iter()
                .map(|(path, _)| &**path)
                .filter(|path| *path != "/")
        };
        let processes: HashSet<String> = if self.reads_processes() {
            paths().flat_map(names).collect()
        } else {
            HashSet::new()
        };
        let units = self.units.iter().map(|unit| {
            let is = |path: &str| unit_of(path).is_some_and(|name| unit.matches(name));
            ("select.units", &unit.text, "unit", paths().any(is))
        });
        let cgroups = self.cgroups.iter().map(|cgroup| {
            let is = |path: &str| cgroup.matches(path);
            ("select.cgroups", &cgroup.text, "cgroup", paths().any(is))
        });
        let executables = self.executables.iter().map(|name| {
            let is = processes.iter().any(|process| is_called(process, name));
            ("select.executables", name, "process", is)
        });
        let mut absent = Vec::new();
        for rows in [
            units.collect::<Vec<_>>(),
            cgroups.collect(),
            executables.collect(),
        ] {
            let rows = rows.into_iter().enumerate();
            absent.extend(
                rows.filter(|(_, row)| !row.3)
                    .map(|(index, (key, value, what, _))| Absent {
                        key,
                        index,
                        value: value.clone(),
                        what,
                    }),
            );
        }
        absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::Select;

    #[test]
    fn what_is_nowhere_is_told_with_its_place_and_what_is_here_is_not() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let selectors = Selectors::new(&Select {
            units: words(&["nginx", "redis", "shop-*.slice"]),
            cgroups: words(&["/shop/*", "nope", "/**/api"]),
            executables: words(&["node", "a-name-of-more-than-15"]),
            services: words(&["backend"]),
            ..Select::default()
        })
        .unwrap();
        let paths = ["/", "/system.slice/nginx.service", "/shop", "/shop/api"];
        let cgroups: Vec<Cgroup> = paths.into_iter().map(Into::into).zip(1..).collect();
        let names = |path: &str| match path {
            "/" => vec!["node".to_owned()],
            "/shop/api" => vec!["a-name-of-more-".to_owned()],
            _ => Vec::new(),
        };
        let absent = selectors.absent(&cgroups, names);
        let told: Vec<String> = absent.iter().map(ToString::to_string).collect();
        let expected = [
            "select.units[1]: \"redis\" names no unit that is here now; the agent waits for one",
            "select.units[2]: \"shop-*.slice\" names no unit that is here now; the agent waits for \
             one",
            "select.cgroups[1]: \"nope\" names no cgroup that is here now; the agent waits for one",
            "select.executables[0]: \"node\" names no process that is here now; the agent waits for \
             one",
        ];
        assert_eq!(told, expected);
    }
}
