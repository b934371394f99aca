//! What is known of a tree of directories, kept up by what the kernel tells of each.
//!
//! A directory is watched before it is listed: what is made between the two is told, or listed, or
//! both. What an event says is never believed, it only tells where to look: events are late, and
//! the directory may be another one by then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::paths::Paths;
use crate::workloads::selectors::choose::Cgroup;

/// Readings of the queue at once: more than a full one takes (16,384 events by default), and an end
/// where somebody fills it faster than it is read.
const BATCHES: usize = 2048;
/// What has to be told of a directory.
const EVENTS: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_ONLYDIR)
    .union(AddWatchFlags::IN_DONT_FOLLOW);

/// Keeps up with a tree.
pub(super) struct Watcher {
    mount: PathBuf,
    /// Absent where the kernel gives none: then the tree is walked.
    pub(super) inotify: Option<Inotify>,
    watched: HashMap<i32, Arc<str>, foldhash::fast::RandomState>,
    /// By path below the mount, `/` being the root.
    known: BTreeMap<Arc<str>, Known>,
    paths: Paths,
    limit: usize,
    batches: usize,
    /// Directories that could not be watched, now.
    pub(super) unwatched: usize,
    /// Directories that found no room, at most as many as are known.
    over: BTreeSet<Arc<str>>,
    /// There are more of them.
    has_more: bool,
    changed: bool,
}

struct Known {
    id: u64,
    watch: Option<WatchDescriptor>,
}

/// What became of a look at the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// All that happened.
    All,
    /// The queue had overflown: everything was looked at again.
    Overflow,
}

impl Watcher {
    /// Knows everything below a directory, at most so many directories.
    pub(super) fn new(mount: PathBuf, paths: Paths, limit: usize) -> Self {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = Inotify::init(flags);
        if let Err(error) = &inotify {
            tracing::warn!(%error, "new cgroups cannot be listened for, and are looked for instead");
        }
        let mut watcher = Self {
            mount,
            inotify: inotify.ok(),
            watched: HashMap::default(),
            known: BTreeMap::new(),
            paths,
            limit,
            batches: BATCHES,
            unwatched: 0,
            over: BTreeSet::new(),
            has_more: false,
            changed: false,
        };
        watcher.enter("/".into());
        watcher
    }

    /// Whether new directories are not told of, and have to be looked for.
    pub(super) fn is_blind(&self) -> bool {
        self.inotify.is_none() || self.unwatched > 0
    }

    /// Directories for which there is no room, as far as they are counted.
    pub(super) fn over(&self) -> usize {
        self.over.len()
    }

    /// Whether anything came or went since the last call.
    pub(super) fn has_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Every directory, in the order of the paths.
    pub(super) fn cgroups(&self) -> Vec<Cgroup> {
        let known = self.known.iter();
        known
            .map(|(path, known)| (Arc::clone(path), known.id))
            .collect()
    }

    /// Takes what the kernel has told.
    ///
    /// # Errors
    /// What the kernel says where it cannot be asked.
    pub(super) fn hear(&mut self) -> io::Result<Heard> {
        let mut heard = Heard::All;
        // What is left then has its caller called again at once.
        for _ in 0..self.batches {
            let events = match self.inotify.as_ref().map(Inotify::read_events) {
                None | Some(Err(Errno::EAGAIN)) => break,
                Some(Err(Errno::EINTR)) => continue,
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(events)) => events,
            };
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    heard = Heard::Overflow;
                } else {
                    self.take(&event);
                }
            }
        }
        let is_over = self.has_more || !self.over.is_empty();
        let has_room = is_over && self.known.len() < self.limit;
        // Of those that are not counted nobody knows how many are gone.
        let is_unsure = self.has_more && self.over.len() < self.limit / 2;
        if heard == Heard::Overflow || has_room || is_unsure {
            self.look();
        }
        Ok(heard)
    }

    fn take(&mut self, event: &InotifyEvent) {
        let Some(directory) = self.watched.get(&event.wd.as_raw()) else {
            return;
        };
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            // The directory that was watched is gone; another may have its path by now.
            let path = Arc::clone(directory);
            self.leave(&path);
            self.reconcile(path);
        } else if let Some(name) = &event.name
            && event.mask.contains(AddWatchFlags::IN_ISDIR)
        {
            let path = below(directory, &name.to_string_lossy());
            self.reconcile(path);
        }
    }

    /// Looks at everything.
    pub(super) fn look(&mut self) {
        self.unwatched = 0;
        self.over.clear();
        self.has_more = false;
        let known: Vec<Arc<str>> = self.known.keys().cloned().collect();
        for path in &known {
            self.reconcile(Arc::clone(path));
        }
        for path in known {
            let blind = self
                .known
                .get(&path)
                .is_some_and(|known| known.watch.is_none());
            if blind && let Some(watch) = self.watch(&path) {
                self.watched.insert(watch.as_raw(), Arc::clone(&path));
                if let Some(known) = self.known.get_mut(&path) {
                    known.watch = Some(watch);
                }
            }
            for child in self.children(&path) {
                if !self.known.contains_key(&child) {
                    self.enter(child);
                }
            }
        }
    }

    /// Has what is known of a path agree with what is there.
    fn reconcile(&mut self, path: Arc<str>) {
        let there = id(&self.directory(&path));
        let known = self.known.get(&path).map(|known| known.id);
        if there.is_none() {
            self.over.remove(&path);
        }
        if known == there {
            return;
        }
        if known.is_some() {
            self.leave(&path);
        }
        if there.is_some() {
            self.enter(path);
        }
    }

    /// A directory is there, with all below it.
    fn enter(&mut self, path: Arc<str>) {
        let mut entered = vec![path];
        while let Some(path) = entered.pop() {
            if self.known.contains_key(&path) {
                continue;
            }
            if self.known.len() >= self.limit {
                if self.over.len() < self.limit {
                    self.over.insert(path);
                } else {
                    self.has_more |= !self.over.contains(&path);
                }
                continue;
            }
            let watch = self.watch(&path);
            let Some(id) = id(&self.directory(&path)) else {
                self.unwatch(watch);
                continue;
            };
            if let Some(watch) = watch {
                self.watched.insert(watch.as_raw(), Arc::clone(&path));
            }
            entered.extend(self.children(&path));
            self.paths.enter(id, &path);
            self.over.remove(&path);
            self.known.insert(path, Known { id, watch });
            self.changed = true;
        }
    }

    /// It is gone, with all below it.
    fn leave(&mut self, path: &str) {
        // `0` is the next character after the `/`.
        let inner = format!("{}/", path.trim_end_matches('/'));
        let past = format!("{}0", path.trim_end_matches('/'));
        let bounds = (
            Bound::Included(inner.as_str()),
            Bound::Excluded(past.as_str()),
        );
        self.over.retain(|over| !over.starts_with(&inner));
        let range = self.known.range::<str, _>(bounds);
        let mut left: Vec<Arc<str>> = range.map(|(path, _)| Arc::clone(path)).collect();
        left.push(path.into());
        for path in left {
            if let Some(known) = self.known.remove(&path) {
                self.unwatch(known.watch);
                self.paths.leave(known.id);
                self.changed = true;
            }
        }
    }

    fn watch(&mut self, path: &str) -> Option<WatchDescriptor> {
        let directory = self.directory(path);
        let inotify = self.inotify.as_ref()?;
        match inotify.add_watch(&directory, EVENTS) {
            Ok(watch) => Some(watch),
            // It went meanwhile, which its parent tells of.
            Err(Errno::ENOENT | Errno::ENOTDIR) => None,
            Err(error) => {
                if self.unwatched == 0 {
                    tracing::warn!(
                        %error,
                        "cgroups cannot be listened to, and are looked for four times a second; \
                         raise fs.inotify.max_user_watches"
                    );
                }
                self.unwatched += 1;
                None
            }
        }
    }

    fn unwatch(&mut self, watch: Option<WatchDescriptor>) {
        let (Some(watch), Some(inotify)) = (watch, &self.inotify) else {
            return;
        };
        self.watched.remove(&watch.as_raw());
        // The kernel has let go of it where the directory is gone.
        let _gone = inotify.rm_watch(watch);
    }

    fn children(&self, path: &str) -> Vec<Arc<str>> {
        let entries = fs::read_dir(self.directory(path)).into_iter().flatten();
        entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| below(path, &entry.file_name().to_string_lossy()))
            .collect()
    }

    fn directory(&self, path: &str) -> PathBuf {
        self.mount.join(path.trim_start_matches('/'))
    }
}

fn below(path: &str, name: &str) -> Arc<str> {
    format!("{}/{name}", path.trim_end_matches('/')).into()
}

fn id(directory: &Path) -> Option<u64> {
    let metadata = fs::symlink_metadata(directory).ok()?;
    metadata.is_dir().then(|| metadata.ino())
}

#[cfg(test)]
mod tests;
