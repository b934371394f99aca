//! Cgroups of our own, to put programs in.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A cgroup v2 that is removed, and its processes killed, when this goes.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes `<mount>/observer-tests-<pid>-<n>/<name>`: the last component names the service.
    ///
    /// # Errors
    /// When there is no cgroup v2 or we may not write there.
    pub fn create(name: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let parent = format!("observer-tests-{}-{number}", process::id());
        let path = mount()?.join(parent).join(name);
        fs::create_dir_all(&path)
            .with_context(|| format!("cannot make the cgroup {} (root?)", path.display()))?;
        Ok(Self { path })
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path below the mount, as `/proc/<pid>/cgroup` shows it.
    ///
    /// # Errors
    /// When there is no cgroup v2 any more.
    pub fn relative(&self) -> Result<&Path> {
        Ok(self.path.strip_prefix(mount()?)?)
    }

    /// The processes in it.
    pub fn processes(&self) -> Vec<Pid> {
        fs::read_to_string(self.path.join("cgroup.procs"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.parse().ok().map(Pid::from_raw))
            .collect()
    }

    /// Moves a process here; sockets it has already stay with the cgroup they were made in.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn adopt(&self, pid: u32) -> Result<()> {
        Ok(fs::write(self.path.join("cgroup.procs"), pid.to_string())?)
    }

    /// Runs `open` with this thread's process in the cgroup, so that the sockets it makes are the
    /// cgroup's, and takes the process back.
    ///
    /// # Errors
    /// When the kernel refuses, or what `open` returns.
    pub fn host<T>(&self, open: impl FnOnce() -> Result<T>) -> Result<T> {
        let home = own()?;
        self.adopt(process::id())?;
        let opened = open();
        fs::write(home.join("cgroup.procs"), process::id().to_string())?;
        opened
    }

    /// The file that a process writes `0` to, to be here.
    pub(crate) fn entrance(&self) -> Result<File> {
        let path = self.path.join("cgroup.procs");
        OpenOptions::new()
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Guards of processes go first; whoever is left was started by one of them.
        for pid in self.processes() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        for _ in 0..200 {
            if self.processes().is_empty() {
                break;
            }
            sleep(Duration::from_millis(5));
        }
        if let Err(error) = fs::remove_dir(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
        if let Some(parent) = self.path.parent() {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// A cgroup that others make theirs below, in every hierarchy; all go, and the processes in them,
/// when this does.
#[derive(Debug)]
pub struct Forest {
    name: String,
    path: PathBuf,
}

impl Forest {
    /// Makes `<mount>/<name>`; other hierarchies have one as soon as somebody needs it.
    ///
    /// # Errors
    /// When there is no cgroup v2 or we may not write there.
    pub fn plant(name: &str) -> Result<Self> {
        let path = mount()?.join(name);
        fs::create_dir(&path)
            .with_context(|| format!("cannot make the cgroup {} (root?)", path.display()))?;
        Ok(Self {
            name: name.to_owned(),
            path,
        })
    }

    /// Its path below each mount.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its absolute path in the tree of version 2.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Forest {
    fn drop(&mut self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let trees = mounts.lines().filter_map(|line| {
            // cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
            let mut fields = line.split(' ').skip(1);
            let (mount, kind) = (fields.next()?, fields.next()?);
            let tree = Path::new(mount).join(&self.name);
            kind.starts_with("cgroup").then_some(tree)
        });
        let trees: Vec<PathBuf> = trees.collect();
        for _ in 0..400 {
            for tree in &trees {
                fell(tree);
            }
            if trees.iter().all(|tree| !tree.exists()) {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        eprintln!("cannot remove the cgroups named {}", self.name);
    }
}

/// Removes what is empty, from below; processes may still be on their way out.
fn fell(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fell(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}

/// Where cgroup v2 is mounted; hybrid hosts have it beside version 1.
///
/// # Errors
/// When it is not mounted.
pub fn mount() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    mounts
        .lines()
        .find_map(|line| {
            // 41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
            let (fields, kind) = line.split_once(" - ")?;
            kind.starts_with("cgroup2 ").then_some(())?;
            fields.split(' ').nth(4).map(PathBuf::from)
        })
        .context("no cgroup v2 is mounted")
}

/// The cgroup v2 that this process is in.
fn own() -> Result<PathBuf> {
    let lines = fs::read_to_string("/proc/self/cgroup")?;
    let path = lines.lines().find_map(|line| line.strip_prefix("0::/"));
    Ok(mount()?.join(path.context("this process is in no cgroup v2")?))
}
