//! The machine that the containers run on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use procfs::ticks_per_second;

use crate::export::families::Families;
use crate::node::host::{float, number, read};

/// Where the host is.
#[derive(Debug)]
pub(super) struct Host {
    procfs: PathBuf,
    rootfs: PathBuf,
}

/// Names of disks by their numbers, `8:0`.
pub(super) type Devices = HashMap<String, String>;

impl Host {
    pub(super) fn new(procfs: &Path, rootfs: &Path) -> Self {
        Self {
            procfs: procfs.to_owned(),
            rootfs: rootfs.to_owned(),
        }
    }

    /// A path of the host's, as this process sees it.
    pub(super) fn root(&self, path: &Path) -> PathBuf {
        self.rootfs.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file of a process.
    pub(super) fn process(&self, id: u32, file: &str) -> PathBuf {
        self.procfs.join(id.to_string()).join(file)
    }

    /// Where processes are listed.
    pub(super) fn procfs(&self) -> &Path {
        &self.procfs
    }

    /// The mounts of the host's first process; our own where that one is hidden.
    pub(super) fn mountinfo(&self) -> Option<String> {
        let of = |process: &str| read(&self.procfs.join(process).join("mountinfo")).ok();
        of("1").or_else(|| of("self"))
    }

    /// As cAdvisor names disks.
    pub(super) fn devices(&self) -> Devices {
        let text = read(&self.procfs.join("diskstats")).unwrap_or_default();
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_ascii_whitespace();
                let (major, minor, name) = (words.next()?, words.next()?, words.next()?);
                Some((format!("{major}:{minor}"), format!("/dev/{name}")))
            })
            .collect()
    }

    /// When a process began that did so this many ticks after the machine.
    pub(super) fn time(&self, ticks: u64) -> Option<f64> {
        let text = read(&self.procfs.join("stat")).ok()?;
        let mut lines = text.lines();
        let boot = number(lines.find_map(|line| line.strip_prefix("btime "))?)?;
        Some(boot + float(ticks) / float(ticks_per_second()))
    }

    /// What cAdvisor says of the machine itself.
    pub(super) fn put(&self, families: &mut Families) {
        let text = read(&self.procfs.join("stat")).unwrap_or_default();
        let processors = text.lines().filter(|line| {
            let number = line.strip_prefix("cpu");
            number.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        });
        let processors = u64::try_from(processors.count()).unwrap_or(u64::MAX);
        if processors > 0 {
            families.gauge(
                "machine_cpu_cores",
                "Number of logical CPU cores.",
                float(processors),
            );
        }
        let text = read(&self.procfs.join("meminfo")).unwrap_or_default();
        for (word, name, help) in [
            (
                "MemTotal:",
                "machine_memory_bytes",
                "Amount of memory installed on the machine.",
            ),
            (
                "SwapTotal:",
                "machine_swap_bytes",
                "Amount of swap memory available on the machine.",
            ),
        ] {
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(word)?.strip_suffix(" kB"));
            if let Some(kibibytes) = line.and_then(|line| number(line.trim())) {
                families.gauge(name, help, kibibytes * 1024.0);
            }
        }
    }
}
