//! What network devices are.

use super::host::{Attributes, Failure, entries, float, hexadecimal, number};
use super::{Families, Machine, Type};

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

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let root = machine.host.sys("class/net");
    for device in entries(&root)? {
        if machine.filters.network_class_exclude.is_match(&device) {
            continue;
        }
        // Not everything here is a device.
        let Some(attributes) = Attributes::of(&root.join(&device)) else {
            continue;
        };
        for (name, file, kind, value) in COLUMNS {
            // Some cannot be read while the device is down.
            let text = attributes.read(file);
            if let Some(value) = text.as_deref().and_then(value) {
                let help = format!("Network device property: {file}");
                let mut samples = families.family(*name, *kind, &help);
                samples.put(&[("device", &device)], value);
            }
        }
        describe(&device, &attributes, families);
    }
    Ok(())
}

fn describe(device: &str, attributes: &Attributes, families: &mut Families) {
    let of = |file: &str| attributes.read(file).unwrap_or_default();
    let state = of("operstate");
    let mut samples = families.family(
        "node_network_up",
        Type::Gauge,
        "Value is 1 if operstate is 'up', 0 otherwise.",
    );
    let is_up = f64::from(u8::from(state == "up"));
    samples.put(&[("device", device)], is_up);
    let mut samples = families.family(
        "node_network_info",
        Type::Gauge,
        "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
    );
    let labels = [
        ("device", device),
        ("address", &of("address")),
        ("broadcast", &of("broadcast")),
        ("duplex", &of("duplex")),
        ("operstate", &state),
        ("ifalias", &of("ifalias")),
    ];
    samples.put(&labels, 1.0);
}

fn flags(text: &str) -> Option<f64> {
    hexadecimal(text).map(float)
}
