//! Neighbours by device.

use std::collections::BTreeMap;

use super::host::{Failure, understood};
use super::{Families, Machine, Type};

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.net("arp");
    let text = machine.host.table(&path)?;
    let mut devices = BTreeMap::<&str, f64>::new();
    let mut all = true;
    for line in text.lines().skip(1) {
        // Address, type, flags, hardware address, mask, device.
        let Some(device) = line.split_ascii_whitespace().nth(5) else {
            all = false;
            continue;
        };
        if !machine.filters.arp_exclude.is_match(device) {
            *devices.entry(device).or_default() += 1.0;
        }
    }
    let mut samples = families.family("node_arp_entries", Type::Gauge, "ARP entries by device");
    for (device, entries) in devices {
        samples.put(&[("device", device)], entries);
    }
    understood(all, path)
}
