//! Which cgroups carry a name now, and which names none carries any more.
//!
//! The thread that names connections enters cgroups; another one, off the data path, looks whether
//! they are still there; and the first takes what has changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

/// Cgroups looked after; one that finds no room neither comes nor goes, and its series stay.
const LIMIT: usize = 16_384;

/// Cgroups by name; cheap to clone, all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Roster(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    cgroups: Map<u64, Member>,
    /// How many cgroups carry it; never 0.
    names: Map<Arc<str>, usize>,
    /// Names that came back (`true`) or went since this was asked; at most as many as [`LIMIT`].
    changes: Map<Arc<str>, bool>,
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

#[derive(Clone, Debug)]
struct Member {
    directory: Arc<Path>,
    name: Arc<str>,
}

impl Roster {
    /// A cgroup carries this name, and no other.
    pub fn enter(&self, id: u64, name: &Arc<str>, directory: impl FnOnce() -> PathBuf) {
        let mut inner = self.lock();
        match inner.cgroups.get(&id) {
            Some(member) if member.name == *name => return,
            // It was named by its path until somebody told who it is.
            Some(_) => inner.leave(id),
            None if inner.cgroups.len() >= LIMIT => return,
            None => {}
        }
        let member = Member {
            directory: directory().into(),
            name: Arc::clone(name),
        };
        inner.cgroups.insert(id, member);
        let carriers = inner.names.entry(Arc::clone(name)).or_insert(0);
        *carriers += 1;
        if *carriers == 1 {
            inner.note(name, true);
        }
    }

    /// Looks at every cgroup. Blocks on the file system, but nobody who enters one meanwhile.
    pub fn look(&self, is_there: impl Fn(u64, &Path) -> bool) {
        let members: Vec<(u64, Arc<Path>)> = self
            .lock()
            .cgroups
            .iter()
            .map(|(id, member)| (*id, Arc::clone(&member.directory)))
            .collect();
        let gone: Vec<u64> = members
            .into_iter()
            .filter(|(id, directory)| !is_there(*id, directory))
            .map(|(id, _)| id)
            .collect();
        let mut inner = self.lock();
        for id in gone {
            inner.leave(id);
        }
    }

    /// The names that went (`false`) or came (back) since the last call.
    pub fn changes(&self) -> Vec<(Arc<str>, bool)> {
        self.lock().changes.drain().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn leave(&mut self, id: u64) {
        let Some(Member { name, .. }) = self.cgroups.remove(&id) else {
            return;
        };
        let Some(carriers) = self.names.get_mut(&name) else {
            return;
        };
        *carriers -= 1;
        if *carriers == 0 {
            self.names.remove(&name);
            self.note(&name, false);
        }
    }

    fn note(&mut self, name: &Arc<str>, is_there: bool) {
        if self.changes.len() < LIMIT || self.changes.contains_key(name) {
            self.changes.insert(Arc::clone(name), is_there);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(roster: &Roster, id: u64, name: &str) {
        roster.enter(id, &name.into(), || format!("/{id}").into());
    }

    fn changes(roster: &Roster) -> Vec<(String, bool)> {
        let mut changes: Vec<_> = roster
            .changes()
            .into_iter()
            .map(|(name, is_there)| (name.to_string(), is_there))
            .collect();
        changes.sort();
        changes
    }

    #[test]
    fn a_name_is_gone_with_the_last_cgroup_that_carries_it() {
        let roster = Roster::default();
        for (id, name) in [(1, "api"), (2, "api"), (3, "db"), (3, "db")] {
            enter(&roster, id, name);
        }
        assert_eq!(
            changes(&roster),
            [("api".into(), true), ("db".into(), true)]
        );
        roster.look(|id, directory| {
            assert_eq!(directory, Path::new(&format!("/{id}")));
            id != 1
        });
        assert_eq!(changes(&roster), []);
        roster.look(|id, _| id != 2);
        assert_eq!(changes(&roster), [("api".into(), false)]);
        enter(&roster, 4, "api");
        assert_eq!(changes(&roster), [("api".into(), true)]);
    }

    #[test]
    fn a_cgroup_that_goes_by_another_name_has_left_the_one_before() {
        let roster = Roster::default();
        enter(&roster, 1, "9f86d0");
        changes(&roster);
        enter(&roster, 1, "api");
        let both = [("9f86d0".into(), false), ("api".into(), true)];
        assert_eq!(changes(&roster), both);
        roster.look(|_, _| false);
        assert_eq!(changes(&roster), [("api".into(), false)]);
    }

    #[test]
    fn who_went_and_came_back_before_anyone_asked_is_there() {
        let roster = Roster::default();
        enter(&roster, 1, "api");
        roster.look(|_, _| false);
        enter(&roster, 2, "api");
        assert_eq!(changes(&roster), [("api".into(), true)]);
    }

    #[test]
    fn what_is_looked_after_is_bounded() {
        let roster = Roster::default();
        for id in 0..20_000 {
            enter(&roster, id, &id.to_string());
        }
        let inner = roster.lock();
        assert_eq!(inner.cgroups.len(), LIMIT);
        assert_eq!(inner.changes.len(), LIMIT);
    }
}
