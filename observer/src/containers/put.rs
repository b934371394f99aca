//! One cgroup, through every row of the table.

use std::collections::HashSet;

use procfs::net::DeviceStatus;
use smallvec::SmallVec;

use super::cgroup::{Cgroup, Disk};
use super::host::{Devices, Host};
use super::identity::Identity;
use super::metrics::{METRICS, Metric, Origin, QUOTA};
use super::mounts::Hierarchies;
use super::past::Past;
use super::processes::{self, Network, Processes};
use super::tree::Shown;
use crate::clock;
use crate::export::families::Families;
use crate::node::host::float;
use crate::workloads::Directory;

/// What every cgroup of a scrape is read with.
pub(super) struct Reading<'r> {
    pub(super) host: &'r Host,
    pub(super) hierarchies: &'r Hierarchies,
    pub(super) directory: &'r Directory,
    pub(super) devices: &'r Devices,
    pub(super) is_late: &'r dyn Fn() -> bool,
}

/// What was read of a cgroup beside its files.
struct Read {
    disks: Vec<Disk>,
    processes: Processes,
    devices: Vec<DeviceStatus>,
    is_limited: bool,
}

impl Reading<'_> {
    /// Puts what it has; nothing of one that is gone. A network that is shared is told of with the
    /// first who is in it.
    pub(super) fn put(
        &self,
        shown: &Shown,
        past: &mut Past,
        networks: &mut HashSet<Network>,
        families: &mut Families,
    ) {
        let Some(mut cgroup) = Cgroup::open(self.hierarchies, &shown.path) else {
            return;
        };
        past.is_of(cgroup.id);
        let identity = Identity::of(&shown.path, self.directory);
        let (host, hierarchies) = (self.host, self.hierarchies);
        let processes = Processes::of(&shown.below, hierarchies, host, past.first, self.is_late);
        past.first = processes.first;
        let first = processes.first.filter(|_| identity.network);
        let network = first
            .and_then(|first| Some((first.process, processes::network(host, first.process)?)))
            .filter(|(_, network)| networks.insert(*network));
        let read = Read {
            disks: cgroup.disks(),
            processes,
            devices: network
                .map(|(process, _)| processes::devices(host, process))
                .unwrap_or_default(),
            is_limited: cgroup.figure(QUOTA.0, QUOTA.1).is_some(),
        };
        let labels = identity.labels();
        for (place, metric) in METRICS.iter().enumerate() {
            let more = Labels {
                cgroup: &labels,
                metric,
            };
            if let Origin::Files { v2, v1, quota } = metric.from {
                if quota && !read.is_limited {
                    continue;
                }
                let Some(value) = cgroup.figure(v2, v1) else {
                    continue;
                };
                let value = if metric.name.ends_with("_seconds_total") {
                    past.forward(place, value)
                } else {
                    value
                };
                more.put(&[], value, families);
            } else {
                self.put_read(&read, &more, families);
            }
        }
    }

    fn put_read(&self, read: &Read, labels: &Labels<'_>, families: &mut Families) {
        match &labels.metric.from {
            Origin::Files { .. } => {}
            Origin::Disks(rows, operation) => {
                for disk in &read.disks {
                    let mut rows = rows(disk).iter();
                    if let Some((_, value)) = rows.find(|(known, _)| known == operation) {
                        labels.put(&[("device", self.device(disk))], *value, families);
                    }
                }
            }
            Origin::Operations => {
                for disk in &read.disks {
                    let Some((major, minor)) = disk.number.split_once(':') else {
                        continue;
                    };
                    for (operation, value) in disk.bytes() {
                        let more = [
                            ("device", self.device(disk)),
                            ("major", major),
                            ("minor", minor),
                            ("operation", operation),
                        ];
                        labels.put(&more, *value, families);
                    }
                }
            }
            Origin::Network(column) => {
                for device in &read.devices {
                    let value = float(column(device));
                    labels.put(&[("interface", &device.name)], value, families);
                }
            }
            Origin::Processes(_, value) => {
                if let Some(value) = value(&read.processes) {
                    labels.put(&[], value, families);
                }
            }
            Origin::Clock => labels.put(&[], clock::unix_seconds().floor(), families),
        }
    }

    /// Its name, else its number.
    fn device<'d>(&'d self, disk: &'d Disk) -> &'d str {
        let name = self.devices.get(&disk.number);
        name.unwrap_or(&disk.number)
    }
}

/// Labels of a cgroup's samples.
struct Labels<'l> {
    cgroup: &'l [(&'l str, &'l str); 6],
    metric: &'l Metric,
}

impl Labels<'_> {
    fn put(&self, more: &[(&str, &str)], value: f64, families: &mut Families) {
        let Metric {
            name, kind, help, ..
        } = self.metric;
        let labels: SmallVec<[(&str, &str); 10]> = self
            .cgroup
            .iter()
            .chain(self.metric.labels)
            .chain(more)
            .copied()
            .collect();
        families.family(*name, *kind, help).put(&labels, value);
    }
}
