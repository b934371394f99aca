//! The processes of a cgroup and of those below it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use procfs::FromRead as _;
use procfs::net::{DeviceStatus, InterfaceDeviceStatus};

use super::host::Host;
use super::mounts::Hierarchies;
use super::tree;
use crate::node::host::read;

/// Network devices that are left out, as cAdvisor does, by the beginning of their names.
const HOSTS: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// `None` where no list of them can be read.
    pub(super) count: Option<u64>,
    /// Files they have open; `None` where that cannot be told of each.
    pub(super) files: Option<u64>,
    /// When the oldest one began, in seconds since the epoch.
    pub(super) began: Option<f64>,
    pub(super) first: Option<First>,
}

/// The oldest process, in whose network the others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) process: u32,
    /// After the machine.
    ticks: u64,
}

// === impl Processes ===

impl Processes {
    /// Of the cgroups at these paths; `known` was their oldest at an earlier scrape.
    pub(super) fn of(
        cgroups: &[Arc<str>],
        hierarchies: &Hierarchies,
        host: &Host,
        known: Option<First>,
        is_late: &dyn Fn() -> bool,
    ) -> Self {
        let lists = cgroups.iter();
        let lists: Vec<Vec<u32>> = lists
            .filter_map(|path| tree::processes(&hierarchies.unified, path))
            .collect();
        if lists.is_empty() {
            return Self::default();
        }
        let processes = lists.concat();
        let still = known.filter(|known| {
            processes.contains(&known.process) && ticks(host, known.process) == Some(known.ticks)
        });
        let first = still.or_else(|| oldest(&processes, host, is_late));
        Self {
            count: u64::try_from(processes.len()).ok(),
            files: files(&processes, host, is_late),
            began: first.and_then(|first| host.time(first.ticks)),
            first,
        }
    }
}

/// That of another process namespace has no number here.
fn numbered(processes: &[u32]) -> impl Iterator<Item = u32> {
    processes.iter().copied().filter(|process| *process != 0)
}

fn oldest(processes: &[u32], host: &Host, is_late: &dyn Fn() -> bool) -> Option<First> {
    let firsts = numbered(processes).map_while(|process| (!is_late()).then_some(process));
    firsts
        .filter_map(|process| {
            let ticks = ticks(host, process)?;
            Some(First { process, ticks })
        })
        .min_by_key(|first| (first.ticks, first.process))
}

/// When a process began: the 22nd field, behind a name that may hold anything.
fn ticks(host: &Host, process: u32) -> Option<u64> {
    let text = read(&host.process(process, "stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Files open in all of them; one that ends meanwhile has none.
fn files(processes: &[u32], host: &Host, is_late: &dyn Fn() -> bool) -> Option<u64> {
    let is_kernels = statfs(host.procfs()).is_ok_and(|of| of.filesystem_type() == PROC_SUPER_MAGIC);
    let (mut sum, mut told) = (0, false);
    for process in numbered(processes) {
        if is_late() {
            return None;
        }
        match open_files(&host.process(process, "fd"), is_kernels) {
            Ok(files) => {
                sum += files;
                told = true;
            }
            Err(ErrorKind::NotFound) => {}
            Err(_) => return None,
        }
    }
    // Where others' processes are hidden, none is found; and where there is none, none is open.
    (told || processes.is_empty()).then_some(sum)
}

fn open_files(directory: &Path, is_kernels: bool) -> Result<u64, ErrorKind> {
    let size = fs::metadata(directory)
        .map_err(|error| error.kind())?
        .size();
    // Since 6.2 that is their number, for whoever asks.
    if is_kernels && size > 0 {
        return Ok(size);
    }
    let entries = fs::read_dir(directory).map_err(|error| error.kind())?;
    Ok(u64::try_from(entries.count()).unwrap_or(u64::MAX))
}

/// A network: the number that the kernel gave to its table of devices.
pub(super) type Network = (u64, u64);

/// Which network a process is in, where it is not the host's.
pub(super) fn network(host: &Host, process: u32) -> Option<Network> {
    let of = |process| {
        let table = fs::metadata(host.process(process, "net/dev")).ok()?;
        Some((table.dev(), table.ino()))
    };
    of(process).filter(|network| of(1) != Some(*network))
}

/// The devices of a process's network, in the order of their names.
pub(super) fn devices(host: &Host, process: u32) -> Vec<DeviceStatus> {
    let text = read(&host.process(process, "net/dev")).unwrap_or_default();
    let devices = InterfaceDeviceStatus::from_read(text.as_bytes());
    let mut devices: Vec<DeviceStatus> = devices
        .map(|devices| devices.0.into_values().collect())
        .unwrap_or_default();
    devices.retain(|device| {
        let name = device.name.to_ascii_lowercase();
        !HOSTS.iter().any(|prefix| name.starts_with(prefix))
    });
    devices.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    devices
}
