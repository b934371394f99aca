//! The cgroups that are there, told of by the kernel as they come and go.
//!
//! ```text
//!   inotify ─▶ thread: watcher ─▶ cgroups, for who selects   ─▶ changed
//!                              └▶ paths, for who names
//! ```
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

mod paths;
mod watcher;

pub use paths::Paths;

use super::selectors::choose::Cgroup;
use watcher::{Heard, Watcher};

/// Cgroups that are known. The kernel needs a watch for each (inotify(7): 1080 bytes).
const LIMIT: usize = 16_384;
/// Between two looks at a tree that is not, or not wholly, told of.
const LOOK: Duration = Duration::from_millis(250);

/// A tree that is kept up with until this goes.
pub struct Tree {
    shared: Arc<Shared>,
    end: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    cgroups: Mutex<Arc<[Cgroup]>>,
    overflows: AtomicU64,
    unwatched: AtomicU64,
}

/// How well the tree is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// How often events were lost, and everything was looked at again.
    pub overflows: u64,
    /// Cgroups that are looked for rather than told of, or for which there is no room.
    pub unwatched: u64,
}

impl Tree {
    /// Knows every cgroup below a mount when it returns; `changed` is called, on a thread of its
    /// own, each time that some came or went. The paths are told as they are learnt.
    ///
    /// # Errors
    /// What the kernel says where there can be no thread.
    pub fn start(
        mount: PathBuf,
        paths: Paths,
        changed: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let end = Arc::new(EventFd::from_flags(
            EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
        )?);
        let mut watcher = Watcher::new(mount, paths, LIMIT);
        let shared = Arc::new(Shared::default());
        shared.publish(&mut watcher);
        let (ended, told) = (Arc::clone(&end), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("cgroups".to_owned());
        let thread = thread.spawn(move || follow(&mut watcher, &told, &ended, changed))?;
        Ok(Self {
            shared,
            end,
            thread: Some(thread),
        })
    }

    /// Every cgroup, in the order of the paths.
    #[must_use]
    pub fn cgroups(&self) -> Arc<[Cgroup]> {
        Arc::clone(&self.shared.lock())
    }

    /// What kept it from knowing.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        Trouble {
            overflows: self.shared.overflows.load(Ordering::Relaxed),
            unwatched: self.shared.unwatched.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // It cannot be full: it is written once.
        let _written = self.end.write(1);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that listens for cgroups ended by a panic");
        }
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").finish_non_exhaustive()
    }
}

impl Shared {
    /// Whether there was anything new.
    fn publish(&self, watcher: &mut Watcher) -> bool {
        let unwatched = watcher.unwatched + watcher.over();
        self.unwatched.store(unwatched as u64, Ordering::Relaxed);
        let changed = watcher.has_changed();
        if changed {
            *self.lock() = watcher.cgroups().into();
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Arc<[Cgroup]>> {
        self.cgroups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn follow(watcher: &mut Watcher, shared: &Shared, end: &EventFd, changed: impl Fn()) {
    loop {
        match wait(watcher, end) {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "new cgroups are listened for no more, and looked for instead");
                watcher.inotify = None;
            }
        }
        match watcher.hear() {
            Ok(Heard::All) => {}
            Ok(Heard::Overflow) => {
                shared.overflows.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::error!(%error, "new cgroups are listened for no more, and looked for instead");
                watcher.inotify = None;
            }
        }
        if watcher.is_blind() {
            watcher.look();
        }
        if shared.publish(watcher) {
            changed();
        }
    }
}

/// Waits for news, or until it is time to look; true where the end has come.
fn wait(watcher: &Watcher, end: &EventFd) -> nix::Result<bool> {
    let timeout = if watcher.is_blind() {
        PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::MAX)
    } else {
        PollTimeout::NONE
    };
    let inotify = watcher.inotify.as_ref().map(|inotify| inotify.as_fd());
    let ends = [Some(end.as_fd()), inotify];
    let mut ends: Vec<PollFd<'_>> = ends
        .into_iter()
        .flatten()
        .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
        .collect();
    match poll(&mut ends, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    Ok(ends.first().and_then(PollFd::any) == Some(true))
}
