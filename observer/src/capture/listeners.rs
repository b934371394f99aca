//! Listening sockets whose cgroup is not that of a process that holds them.
//!
//! A socket belongs to the cgroup of whoever made it, and those it accepts belong there too. With
//! socket activation, or a process that was moved, that is not where the service runs: its
//! connections are counted as the listener's, and where only the service's cgroup is selected they
//! are not seen at all.
#![forbid(unsafe_code)]

mod ask;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::cgroup;
use crate::mounts;

/// A listener and a process that serves it from another cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Where it listens.
    pub address: SocketAddr,
    /// The cgroup it was made in, and counts for; `None` where that is gone.
    pub made_in: Option<PathBuf>,
    /// The process.
    pub process: u32,
    /// Its name.
    pub command: String,
    /// The process's cgroup.
    pub held_in: PathBuf,
}

/// A listening socket, as the kernel tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listener {
    address: SocketAddr,
    /// The socket's inode, by which a process's descriptors name it.
    inode: u32,
    /// Its cgroup's id.
    cgroup: u64,
}

/// Looks at every listener of every network namespace that can be entered; each is told once, with
/// the first of its processes that is elsewhere.
///
/// # Errors
/// When the kernel cannot be asked about sockets or there is no cgroup v2.
pub fn apart() -> io::Result<Vec<Apart>> {
    let mount = mounts::find().map_err(io::Error::other)?;
    let processes = processes()?;
    let mut listeners: HashMap<u32, Listener> = HashMap::new();
    for network in networks(&processes) {
        for listener in ask_in(network)? {
            listeners.insert(listener.inode, listener);
        }
    }
    let mut apart: Vec<Apart> = Vec::new();
    let mut paths = None;
    for process in processes {
        let Some(held_in) = process_cgroup(process) else {
            continue;
        };
        let held_in = cgroup::resolve(&mount, &held_in);
        let Ok(here) = cgroup::id(&held_in) else {
            continue;
        };
        for inode in sockets(process) {
            let Some(listener) = listeners.get(&inode) else {
                continue;
            };
            if listener.cgroup == here {
                continue;
            }
            let paths = paths.get_or_insert_with(|| paths_by_id(&mount));
            apart.push(Apart {
                address: listener.address,
                made_in: paths.get(&listener.cgroup).cloned(),
                process,
                command: command(process),
                held_in: held_in.clone(),
            });
            listeners.remove(&inode);
        }
    }
    apart.sort_by_key(|row| row.address);
    Ok(apart)
}

/// The processes, lowest first.
fn processes() -> io::Result<Vec<u32>> {
    let mut processes: Vec<u32> = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    processes.sort_unstable();
    Ok(processes)
}

/// One handle of each network namespace that a process is in.
fn networks(processes: &[u32]) -> Vec<File> {
    let mut networks: HashMap<u64, File> = HashMap::new();
    for process in processes {
        if let Ok(file) = File::open(format!("/proc/{process}/ns/net"))
            && let Ok(metadata) = file.metadata()
        {
            networks.entry(metadata.ino()).or_insert(file);
        }
    }
    networks.into_values().collect()
}

/// The listeners of a network namespace, asked by a thread that enters it; none where we may not.
/// Our own takes no privilege.
fn ask_in(network: File) -> io::Result<Vec<Listener>> {
    let own = fs::metadata("/proc/self/ns/net")?;
    if network.metadata()?.ino() == own.ino() {
        return ask::listeners();
    }
    let thread = thread::spawn(move || match setns(network, CloneFlags::CLONE_NEWNET) {
        Ok(()) => ask::listeners(),
        Err(_) => Ok(Vec::new()),
    });
    let panicked = |_| io::Error::other("the thread that asked for sockets panicked");
    thread.join().map_err(panicked)?
}

/// The inodes of a process's sockets; none of a process that is gone.
fn sockets(process: u32) -> Vec<u32> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return Vec::new();
    };
    let mut inodes: Vec<u32> = descriptors
        .flatten()
        .filter_map(|entry| socket(&fs::read_link(entry.path()).ok()?))
        .collect();
    inodes.sort_unstable();
    inodes
}

/// `socket:[4711]`
fn socket(link: &Path) -> Option<u32> {
    let inode = link.to_str()?.strip_prefix("socket:[")?;
    inode.strip_suffix(']')?.parse().ok()
}

/// A process's cgroup v2, relative to the mount with `/` in front.
fn process_cgroup(process: u32) -> Option<PathBuf> {
    let lines = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let path = lines.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.into())
}

fn command(process: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// Every cgroup's directory by its id.
fn paths_by_id(mount: &Path) -> HashMap<u64, PathBuf> {
    let mut paths = HashMap::new();
    let mut left = vec![mount.to_path_buf()];
    while let Some(directory) = left.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        left.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
        if let Ok(id) = cgroup::id(&directory) {
            paths.insert(id, directory);
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_have_an_inode_in_their_link() {
        for (link, inode) in [
            ("socket:[4711]", Some(4711)),
            ("pipe:[4711]", None),
            ("socket:[x]", None),
            ("/dev/null", None),
        ] {
            assert_eq!(socket(Path::new(link)), inode, "{link}");
        }
    }
}
