//! Cgroup v2: from the id the kernel reports to the directory's path.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::selectors::choose::Cgroup;
use super::tree::Paths;

/// Cgroups looked at in one walk, and paths remembered.
pub const LIMIT: usize = 16_384;
/// Time in which one more walk is allowed, at most [`BURST`] in a row: cgroups that come together, as
/// a pod's do, are found at once, and ids of cgroups that are gone do not keep us walking. Until it
/// is found a cgroup has no path.
const INTERVAL: Duration = Duration::from_secs(1);
/// Walks that may follow each other without a pause.
const BURST: u32 = 8;

/// Paths of cgroups by id, learnt by walking the tree when an unknown id appears.
pub struct Cgroups {
    mount: PathBuf,
    /// Relative to the mount, with `/` in front; `None` for an id that a walk did not find.
    paths: HashMap<u64, Option<Arc<str>>, foldhash::fast::RandomState>,
    /// Of those that somebody saw come, without a walk.
    told: Paths,
    limit: usize,
    /// Walks allowed now, and since when.
    allowed: (u32, Option<Instant>),
}

impl Cgroups {
    /// Of the tree mounted there.
    #[must_use]
    pub fn at(mount: PathBuf) -> Self {
        Self {
            mount,
            paths: HashMap::default(),
            told: Paths::default(),
            limit: LIMIT,
            allowed: (BURST, None),
        }
    }

    /// Of another time or machine: only paths that are [remembered](Self::remember).
    #[must_use]
    pub fn elsewhere() -> Self {
        Self {
            limit: LIMIT,
            allowed: (0, None),
            mount: PathBuf::new(),
            paths: HashMap::default(),
            told: Paths::default(),
        }
    }

    /// With what somebody tells who sees cgroups come.
    #[must_use]
    pub fn told_by(self, told: Paths) -> Self {
        Self { told, ..self }
    }

    /// A cgroup has this path.
    pub fn remember(&mut self, id: u64, path: &str) {
        if self.paths.len() < self.limit || self.paths.contains_key(&id) {
            self.paths.insert(id, Some(path.into()));
        }
    }

    /// Where the tree is mounted.
    #[must_use]
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// The directory of a [`Self::path`].
    #[must_use]
    pub fn directory(&self, path: &str) -> PathBuf {
        self.mount.join(path.trim_start_matches('/'))
    }

    /// The path of a cgroup, `/` being the root's. A cgroup that is gone keeps its path while
    /// there is room.
    pub fn path(&mut self, id: u64) -> Option<Arc<str>> {
        let known = self.paths.get(&id);
        if let Some(Some(path)) = known {
            return Some(Arc::clone(path));
        }
        let was_looked_for = known.is_some();
        if let Some(path) = self.told.get(id) {
            self.remember(id, &path);
            return Some(path);
        }
        if was_looked_for {
            return None;
        }
        self.look_for(id, Instant::now())
    }

    fn look_for(&mut self, id: u64, now: Instant) -> Option<Arc<str>> {
        let nowhere = self.mount.as_os_str().is_empty();
        if id == 0 || nowhere || !self.may_walk(now) {
            return None;
        }
        let found = walk(&self.mount, self.limit);
        if self.paths.len() + found.len() > self.limit {
            self.paths.clear();
        }
        let found = found.into_iter().map(|(id, path)| (id, Some(path)));
        self.paths.extend(found);
        if self.paths.len() < self.limit {
            self.paths.entry(id).or_insert(None);
        }
        self.paths.get(&id).cloned().flatten()
    }

    /// Takes one of the walks that are allowed.
    fn may_walk(&mut self, now: Instant) -> bool {
        let (left, since) = &mut self.allowed;
        let from = *since.get_or_insert(now);
        let earned = now.saturating_duration_since(from).as_secs() / INTERVAL.as_secs();
        if earned > 0 {
            *since = Some(now);
            *left = u32::try_from(earned).map_or(BURST, |earned| (*left + earned).min(BURST));
        }
        *left = match left.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        true
    }
}

/// Every cgroup below a mount, in the order of the paths.
#[must_use]
pub fn all(mount: &Path) -> Vec<Cgroup> {
    let found = walk(mount, LIMIT).into_iter();
    let mut found: Vec<Cgroup> = found.map(|(id, path)| (path, id)).collect();
    found.sort_unstable();
    found
}

/// Every directory of the tree, at most `limit`, the nearest to the root first.
fn walk(mount: &Path, limit: usize) -> Vec<(u64, Arc<str>)> {
    let mut found = Vec::new();
    visit(mount, limit, |directory| {
        // A cgroup may go while we walk.
        let Ok(metadata) = fs::metadata(directory) else {
            return false;
        };
        let below = directory.strip_prefix(mount).unwrap_or(directory);
        let path = format!("/{}", below.to_string_lossy());
        found.push((metadata.ino(), path.into()));
        true
    });
    found
}

/// Visits a directory and those below it, the nearest first: at most so many, and nothing below one
/// of which the visitor says so by `false`.
pub fn visit(top: &Path, most: usize, mut visitor: impl FnMut(&Path) -> bool) {
    let mut next = VecDeque::from([top.to_owned()]);
    let mut visited = 0;
    while visited < most
        && let Some(directory) = next.pop_front()
    {
        if !visitor(&directory) {
            continue;
        }
        visited += 1;
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let room = most.saturating_sub(visited + next.len());
        next.extend(below.map(|entry| entry.path()).take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes with the test.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, cgroups: &[&str]) -> Self {
            let path = std::env::temp_dir().join(format!("cgroups-{name}-{}", std::process::id()));
            for cgroup in cgroups {
                fs::create_dir_all(path.join(cgroup)).unwrap();
            }
            Self(path)
        }

        fn id(&self, cgroup: &str) -> u64 {
            let path = self.0.join(cgroup);
            fs::metadata(path).unwrap().ino()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_id_has_its_directorys_path() {
        let tree = Tree::new("paths", &["shop/api", "shop/db"]);
        let mut cgroups = Cgroups::at(tree.0.clone());
        assert_eq!(
            cgroups.path(tree.id("shop/db")).as_deref(),
            Some("/shop/db")
        );
        assert_eq!(cgroups.path(tree.id("shop")).as_deref(), Some("/shop"));
        assert_eq!(cgroups.path(tree.id("")).as_deref(), Some("/"));
        assert_eq!(cgroups.path(0), None);
    }

    #[test]
    fn a_new_cgroup_is_found_by_the_next_walk_and_a_gone_one_keeps_its_path() {
        let tree = Tree::new("new", &["old"]);
        let mut cgroups = Cgroups::at(tree.0.clone());
        let (old, start) = (tree.id("old"), Instant::now());
        assert!(cgroups.look_for(old, start).is_some());
        fs::create_dir(tree.0.join("new")).unwrap();
        let new = tree.id("new");
        fs::remove_dir(tree.0.join("old")).unwrap();
        assert_eq!(cgroups.look_for(new, start).as_deref(), Some("/new"));
        assert_eq!(cgroups.path(old).as_deref(), Some("/old"));
    }

    #[test]
    fn a_cgroup_that_was_seen_to_come_has_its_path_without_a_walk() {
        let tree = Tree::new("told", &["old"]);
        let told = Paths::default();
        let mut cgroups = Cgroups::at(tree.0.clone()).told_by(told.clone());
        cgroups.allowed = (0, Some(Instant::now() + Duration::from_hours(1)));
        assert_eq!(cgroups.path(tree.id("old")), None);
        told.enter(tree.id("old"), &"/old".into());
        assert_eq!(cgroups.path(tree.id("old")).as_deref(), Some("/old"));
        // Looked for before anybody told of it.
        cgroups.paths.insert(7, None);
        assert_eq!(cgroups.path(7), None);
        told.enter(7, &"/late".into());
        assert_eq!(cgroups.path(7).as_deref(), Some("/late"));
        told.leave(7);
        assert_eq!(cgroups.path(7).as_deref(), Some("/late"));
    }

    #[test]
    fn ids_that_nobody_has_do_not_keep_us_walking() {
        let tree = Tree::new("absent-ids", &["old"]);
        let mut cgroups = Cgroups::at(tree.0.clone());
        let start = Instant::now();
        for absent in 0..u64::from(BURST) {
            assert_eq!(cgroups.look_for(u64::MAX - absent, start), None);
        }
        fs::create_dir(tree.0.join("late")).unwrap();
        let late = tree.id("late");
        let soon = start + INTERVAL / 2;
        assert_eq!(cgroups.look_for(late, soon), None, "all walks are used up");
        let later = start + INTERVAL;
        assert_eq!(cgroups.look_for(late, later).as_deref(), Some("/late"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let tree = Tree::new("bounded", &["a", "b", "c", "d", "e"]);
        let mut cgroups = Cgroups::at(tree.0.clone());
        cgroups.limit = 3;
        for (seconds, id) in (0..50).map(|i| (i * 2, u64::MAX - i)) {
            cgroups.look_for(id, Instant::now() + Duration::from_secs(seconds));
            assert!(cgroups.paths.len() <= 3);
        }
    }

    #[test]
    fn a_visit_is_bounded_and_goes_nowhere_below_what_is_passed_over() {
        let tree = Tree::new("visit", &["a/b", "c/d/e"]);
        let visited = |most, over: &str| {
            let mut names = Vec::new();
            visit(&tree.0, most, |directory| {
                let path = directory.strip_prefix(&tree.0).unwrap().to_str().unwrap();
                if path != over {
                    names.push(path.to_owned());
                }
                path != over
            });
            names.sort_unstable();
            names
        };
        assert_eq!(visited(9, ""), [""; 0]);
        assert_eq!(visited(9, "x"), ["", "a", "a/b", "c", "c/d", "c/d/e"]);
        assert_eq!(visited(9, "c"), ["", "a", "a/b"]);
        assert_eq!(visited(3, "x"), ["", "a", "c"]);
    }
}
