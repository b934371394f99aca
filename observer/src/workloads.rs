//! Who owns a cgroup or a process.
//!
//! ```text
//!   cgroup id ─▶ cgroup: path ─▶ place: pod, container, unit ─▶ directory: names and labels
//! ```
//!
//! A container or a pod that nobody has told about goes by its id, another cgroup by its last path
//! component, processes in the root cgroup by their executable's name.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use observer_ebpf::{Identity, Opener};
use schnellru::{ByLength, LruMap};

pub mod cgroup;
pub mod directory;
pub mod engines;
pub mod kubernetes;
pub mod place;
pub mod pod_logs;
pub mod roster;
pub mod selectors;
mod settings;
pub mod tree;

pub use directory::Directory;
pub use selectors::Selectors;
pub use settings::{Engines, Kubernetes, Select};

use cgroup::Cgroups;
use directory::Peer;
use roster::Roster;

/// The name of who cannot be named.
pub const UNKNOWN: &str = "unknown";

/// The name of who is on this machine and is not observed.
pub const LOCAL: &str = "local";

/// Ends remembered, so that the one can name the other; the one unused the longest goes first.
const ENDS: u32 = 32_768;

/// Names the workloads at both ends of a connection.
pub struct Workloads {
    cgroups: Option<Cgroups>,
    directory: Directory,
    roster: Roster,
    /// By first sequence numbers (sent, received): the same at both ends, through any translation
    /// of addresses.
    ends: LruMap<(u32, u32), Arc<str>, ByLength, foldhash::fast::RandomState>,
}

impl Workloads {
    /// With the cgroups of this machine, and what is known of who is in them; without any cgroups,
    /// executables alone give names.
    #[must_use]
    pub fn new(cgroups: Option<Cgroups>, directory: Directory) -> Self {
        Self {
            cgroups,
            directory,
            roster: Roster::default(),
            ends: LruMap::with_hasher(ByLength::new(ENDS), foldhash::fast::RandomState::default()),
        }
    }

    /// The cgroups whose names were given, to be looked after.
    #[must_use]
    pub fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// A cgroup has this path, whatever this machine says.
    pub fn remember(&mut self, cgroup: u64, path: &str) {
        if let Some(cgroups) = &mut self.cgroups {
            cgroups.remember(cgroup, path);
        }
    }

    /// The workload at this end, where its cgroup has a name or its process is known.
    pub fn known(&mut self, identity: &Identity) -> Option<String> {
        let name = self.name(identity);
        (&*name != UNKNOWN).then(|| name.to_string())
    }

    /// The workload at this end.
    pub fn name(&mut self, identity: &Identity) -> Arc<str> {
        let name = self
            .cgroup_name(identity.cgroup)
            .unwrap_or_else(|| executable(identity).into());
        let key = (identity.sent_first, identity.received_first);
        self.ends.insert(key, Arc::clone(&name));
        name
    }

    fn cgroup_name(&mut self, id: u64) -> Option<Arc<str>> {
        let cgroups = self.cgroups.as_mut()?;
        let path = cgroups.path(id)?;
        let name = self.directory.workload(&path)?.service;
        let directory = || cgroups.directory(&path);
        self.roster.enter(id, &name, directory);
        Some(name)
    }

    /// Who is at the other end: the workload whose end is observed on this machine and named
    /// already, else who is known to have the address. `None` for a host of which only that is
    /// known.
    pub fn peer(&mut self, identity: &Identity) -> Option<Arc<str>> {
        if let Some(name) = self.observed_peer(identity) {
            return Some(name);
        }
        let [local, remote] = [identity.local, identity.remote]
            .map(|address| IpAddr::V6(Ipv6Addr::from(address)).to_canonical());
        match self.directory.at(remote) {
            Some(Peer::Pod(pod)) => Some(pod.service().into()),
            Some(Peer::Named(name)) => Some(name),
            None if remote.is_unspecified() => Some(UNKNOWN.into()),
            None if remote.is_loopback() || remote == local => Some(LOCAL.into()),
            None => None,
        }
    }

    fn observed_peer(&mut self, identity: &Identity) -> Option<Arc<str>> {
        let (sent, received) = (identity.sent_first, identity.received_first);
        // An end whose SYN was not seen may count what it sent from one too low: this one, or the
        // other.
        let unsure = identity.opener == Opener::Unknown as u8;
        let own = [sent, sent.wrapping_add(1)];
        let own = own.iter().take(1 + usize::from(unsure));
        own.flat_map(|own| [(received, *own), (received.wrapping_sub(1), *own)])
            .find_map(|key| self.ends.get(&key).cloned())
    }
}

fn executable(identity: &Identity) -> String {
    let name = identity.command.split(|byte| *byte == 0).next();
    let name = String::from_utf8_lossy(name.unwrap_or_default());
    if name.is_empty() {
        UNKNOWN.to_owned()
    } else {
        name.replace(char::is_control, "_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(sent_first: u32, received_first: u32, command: &str) -> Identity {
        let mut bytes = [0; 16];
        bytes[..command.len()].copy_from_slice(command.as_bytes());
        Identity {
            sent_first,
            received_first,
            command: bytes,
            opener: Opener::Passive as u8,
            ..Identity::default()
        }
    }

    #[test]
    fn a_workload_outside_of_cgroups_is_its_executable() {
        let mut workloads = Workloads::new(None, Directory::default());
        for (command, name) in [("postgres", "postgres"), ("a\nb", "a_b"), ("", UNKNOWN)] {
            assert_eq!(&*workloads.name(&identity(1, 2, command)), name);
        }
    }

    #[test]
    fn each_end_names_the_other_once_both_are_known() {
        let mut workloads = Workloads::new(None, Directory::default());
        let (client, server) = (identity(10, 90, "api"), identity(90, 10, "postgres"));
        workloads.name(&client);
        assert_eq!(workloads.peer(&client).as_deref(), Some(UNKNOWN));
        workloads.name(&server);
        assert_eq!(workloads.peer(&client).as_deref(), Some("postgres"));
        assert_eq!(workloads.peer(&server).as_deref(), Some("api"));
        let late = Identity {
            opener: Opener::Unknown as u8,
            ..identity(9, 90, "api")
        };
        assert_eq!(workloads.peer(&late).as_deref(), Some("postgres"));
        assert_eq!(
            workloads.peer(&identity(1, 2, "")).as_deref(),
            Some(UNKNOWN)
        );
    }

    #[test]
    fn who_is_not_observed_goes_by_who_has_the_address_and_never_by_the_address() {
        let directory = Directory::default();
        directory.set_pod(directory::Pod {
            uid: "pod".into(),
            name: "backend-5d4f-x2v".into(),
            labels: [("app".to_owned(), "backend".to_owned())].into(),
            addresses: vec![[10, 0, 0, 1].into()],
            ..directory::Pod::default()
        });
        for (key, name, address) in [
            ("service/naytife/postgres", "postgres", "10.96.0.7"),
            ("node/worker-2", "worker-2", "192.168.1.2"),
        ] {
            let addressee = directory::Addressee {
                name: name.into(),
                addresses: vec![address.parse().unwrap()],
            };
            directory.set_addressee(key, addressee);
        }
        let mut workloads = Workloads::new(None, directory);
        for (remote, name) in [
            ("::ffff:10.0.0.1", Some("backend")),
            ("::ffff:10.96.0.7", Some("postgres")),
            ("::ffff:192.168.1.2", Some("worker-2")),
            ("::ffff:127.0.0.1", Some(LOCAL)),
            ("::1", Some(LOCAL)),
            ("::ffff:10.0.0.9", Some(LOCAL)),
            ("::ffff:192.0.2.7", None),
            ("2001:db8::7", None),
            ("::", Some(UNKNOWN)),
        ] {
            let octets = |address: &str| address.parse::<Ipv6Addr>().unwrap().octets();
            let client = Identity {
                local: octets("::ffff:10.0.0.9"),
                remote: octets(remote),
                ..identity(10, 90, "api")
            };
            assert_eq!(workloads.peer(&client).as_deref(), name, "{remote}");
        }
    }
}
