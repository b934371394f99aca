//! Paths of cgroups by id, from who sees them come to who has to name them.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashMap;

/// Cgroups that are gone whose paths are kept: one may end before its first record is read.
const GONE: usize = 1024;

/// Cheap to clone, all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Paths(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    paths: HashMap<u64, Arc<str>, foldhash::fast::RandomState>,
    gone: VecDeque<u64>,
}

impl Paths {
    /// A cgroup is there.
    pub fn enter(&self, id: u64, path: &Arc<str>) {
        self.write().paths.insert(id, Arc::clone(path));
    }

    /// It is gone; its path is kept for a while.
    pub fn leave(&self, id: u64) {
        let mut inner = self.write();
        inner.gone.push_back(id);
        if inner.gone.len() > GONE
            && let Some(oldest) = inner.gone.pop_front()
        {
            inner.paths.remove(&oldest);
        }
    }

    /// The path of a cgroup that is there, or was a moment ago.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Arc<str>> {
        self.read().paths.get(&id).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_outlives_its_cgroup_for_a_bounded_while() {
        let paths = Paths::default();
        for id in 0..2000 {
            paths.enter(id, &format!("/{id}").into());
            paths.leave(id);
        }
        assert_eq!(paths.get(1999).as_deref(), Some("/1999"));
        assert_eq!(paths.get(0), None);
        assert_eq!(paths.read().paths.len(), GONE);
    }
}
