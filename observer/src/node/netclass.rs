//! What network devices are.

use std::collections::HashMap;
use std::mem;

use links::Link;

use super::host::{Attributes, Failure, entries, float, hexadecimal, number};
use super::{Families, Machine, Type, lock};

mod links;

/// Family, attribute, type, how it is read.
type Column = (&'static str, &'static str, Type, fn(&str) -> Option<f64>);

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    ("node_network_address_assign_type", "addr_assign_type", Type::Gauge, number),
    ("node_network_carrier", "carrier", Type::Gauge, number),
    ("node_network_carrier_changes_total", "carrier_changes", Type::Counter, number),
    ("node_network_carrier_up_changes_total", "carrier_up_count", Type::Counter, number),
    ("node_network_carrier_down_changes_total", "carrier_down_count", Type::Counter, number),
    ("node_network_device_id", "dev_id", Type::Gauge, flags),
    ("node_network_dormant", "dormant", Type::Gauge, number),
    ("node_network_flags", "flags", Type::Gauge, flags),
    ("node_network_iface_id", "ifindex", Type::Gauge, number),
    ("node_network_iface_link", "iflink", Type::Gauge, number),
    ("node_network_iface_link_mode", "link_mode", Type::Gauge, number),
    ("node_network_mtu_bytes", "mtu", Type::Gauge, number),
    ("node_network_name_assign_type", "name_assign_type", Type::Gauge, number),
    ("node_network_net_dev_group", "netdev_group", Type::Gauge, number),
    ("node_network_protocol_type", "type", Type::Gauge, number),
    // Megabits; a device that does not know says -1, which is shown as it is.
    ("node_network_speed_bytes", "speed", Type::Gauge, |text| Some(number(text)? * 1e6 / 8.0)),
    ("node_network_transmit_queue_length", "tx_queue_len", Type::Gauge, number),
];

/// Devices whose files are kept open from one scrape to the next; six files each. A node may have
/// hundreds of devices, and those of the others are opened each time.
const KEPT: usize = 16;

/// The kept files, by a device's name and index: a name may go from one device to another.
pub(super) type Kept = HashMap<(String, u32), Attributes>;

/// A device, by rtnetlink where it was asked, else by its files.
struct Device {
    link: Option<Link>,
    files: Attributes,
}

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let root = machine.host.sys("class/net");
    let mut links = links(machine);
    // Those of devices that are gone are closed with the rest at the end.
    let mut last = mem::take(&mut *lock(&machine.devices));
    let mut kept = Kept::new();
    for name in entries(&root)? {
        if machine.filters.network_class_exclude.is_match(&name) {
            continue;
        }
        let link = links.remove(&name);
        let key = link.as_ref().map(|link| (name.clone(), link.index()));
        let files = key.as_ref().and_then(|key| last.remove(key));
        // Not everything here is a device.
        let Some(files) = files.or_else(|| Attributes::of(&root.join(&name))) else {
            continue;
        };
        let key = key.filter(|_| kept.len() < KEPT);
        let files = if key.is_some() {
            files.keeping()
        } else {
            files
        };
        let mut device = Device { link, files };
        for (family, file, kind, value) in COLUMNS {
            if let Some(value) = device.figure(file, *value) {
                let help = format!("Network device property: {file}");
                let mut samples = families.family(*family, *kind, &help);
                samples.put(&[("device", &name)], value);
            }
        }
        device.describe(&name, families);
        if let Some(key) = key {
            kept.insert(key, device.files);
        }
    }
    *lock(&machine.devices) = kept;
    Ok(())
}

/// Empty where the host's sysfs is another network's than this process's, as in a container, or
/// rtnetlink does not answer.
fn links(machine: &Machine) -> HashMap<String, Link> {
    if !machine.host.has_own_sysfs() {
        return HashMap::new();
    }
    links::dump().unwrap_or_else(|error| {
        tracing::debug!(%error, "rtnetlink does not tell of devices; their files do");
        HashMap::new()
    })
}

impl Device {
    /// Some cannot be had while the device is down.
    fn figure(&mut self, attribute: &'static str, read: fn(&str) -> Option<f64>) -> Option<f64> {
        let told = self.link.as_ref();
        if told.is_some_and(|link| link.lacks(attribute)) {
            return None;
        }
        let told = told.and_then(|link| link.figure(attribute));
        told.or_else(|| read(&self.files.read(attribute)?))
    }

    fn text(&mut self, attribute: &'static str) -> String {
        let told = self.link.as_ref().and_then(|link| link.text(attribute));
        let told = told.map(str::to_owned);
        told.or_else(|| self.files.read(attribute))
            .unwrap_or_default()
    }

    fn describe(&mut self, name: &str, families: &mut Families) {
        let state = self.text("operstate");
        let mut samples = families.family(
            "node_network_up",
            Type::Gauge,
            "Value is 1 if operstate is 'up', 0 otherwise.",
        );
        let is_up = f64::from(u8::from(state == "up"));
        samples.put(&[("device", name)], is_up);
        let mut samples = families.family(
            "node_network_info",
            Type::Gauge,
            "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
        );
        let labels = [
            ("device", name),
            ("address", &self.text("address")),
            ("broadcast", &self.text("broadcast")),
            ("duplex", &self.text("duplex")),
            ("operstate", &state),
            ("ifalias", &self.text("ifalias")),
        ];
        samples.put(&labels, 1.0);
    }
}

fn flags(text: &str) -> Option<f64> {
    hexadecimal(text).map(float)
}
