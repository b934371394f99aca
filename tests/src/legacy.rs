//! A cgroup's path in the hierarchies of version 1, where a hybrid host has its controllers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cgroup::Cgroup;

/// Controllers that are mounted, each with the directory of one cgroup; removed when this goes,
/// which has to be before its processes are killed, or after.
#[derive(Debug)]
pub struct Legacy {
    /// Controller and directory.
    directories: Vec<(String, PathBuf)>,
    mounts: Vec<PathBuf>,
}

impl Legacy {
    /// Makes the path of a cgroup below each controller's mount; without any where version 2 has
    /// all controllers.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn of(cgroup: &Cgroup) -> Result<Self> {
        let relative = cgroup.relative()?;
        let mut legacy = Self {
            directories: Vec::new(),
            mounts: Vec::new(),
        };
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        for line in mounts.lines() {
            let Some((fields, kind)) = line.split_once(" - cgroup cgroup ") else {
                continue;
            };
            let mount = fields.split(' ').nth(4).context("no mount point")?;
            let directory = Path::new(mount).join(relative);
            for controller in ["blkio", "cpu", "cpuacct", "memory", "pids"] {
                if kind.split(',').any(|option| option == controller) {
                    fs::create_dir_all(&directory)
                        .with_context(|| format!("cannot make {}", directory.display()))?;
                    let entry = (controller.to_owned(), directory.clone());
                    legacy.directories.push(entry);
                    legacy.mounts.push(mount.into());
                }
            }
        }
        Ok(legacy)
    }

    /// Whether version 2 has all controllers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty()
    }

    /// The files that a process writes its number to, to be in all of them.
    fn entrances(&self) -> impl Iterator<Item = PathBuf> {
        let directories = self.directories.iter();
        directories.map(|(_, directory)| directory.join("cgroup.procs"))
    }

    /// Lines of a shell that puts itself into all of them.
    pub fn enter(&self) -> String {
        let lines = self
            .entrances()
            .map(|entrance| format!("echo $$ > '{}'\n", entrance.display()));
        lines.collect::<Vec<_>>().concat()
    }

    /// A file of a controller: `memory.stat`.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = self.path(file)?;
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Sets a file of a controller.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn write(&self, file: &str, value: &str) -> Result<()> {
        let path = self.path(file)?;
        fs::write(&path, value).with_context(|| format!("cannot write {}", path.display()))
    }

    fn path(&self, file: &str) -> Result<PathBuf> {
        let controller = file.split('.').next().unwrap_or_default();
        let mut directories = self.directories.iter();
        let (_, directory) = directories
            .find(|(known, _)| known == controller)
            .with_context(|| format!("no controller for {file}"))?;
        Ok(directory.join(file))
    }
}

impl Drop for Legacy {
    fn drop(&mut self) {
        for ((_, directory), mount) in self.directories.iter().zip(&self.mounts) {
            // Whoever is left goes to the root, so that the directory can go.
            let processes = fs::read_to_string(directory.join("cgroup.procs"));
            for process in processes.unwrap_or_default().lines() {
                let _ = fs::write(mount.join("cgroup.procs"), process);
            }
            for directory in directory.ancestors().take_while(|at| *at != mount) {
                let _ = fs::remove_dir(directory);
            }
        }
    }
}
