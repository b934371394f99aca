//! What network devices carried.

use procfs::FromRead as _;
use procfs::net::{DeviceStatus, InterfaceDeviceStatus};

use super::host::{Failure, figure, float};
use super::{Families, Machine, Type};

/// Family, what it counts, value.
type Column = (&'static str, &'static str, fn(&DeviceStatus) -> u64);

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    ("node_network_receive_bytes_total", "receive_bytes", |device| device.recv_bytes),
    ("node_network_receive_packets_total", "receive_packets", |device| device.recv_packets),
    ("node_network_receive_errs_total", "receive_errs", |device| device.recv_errs),
    ("node_network_receive_drop_total", "receive_drop", |device| device.recv_drop),
    ("node_network_receive_fifo_total", "receive_fifo", |device| device.recv_fifo),
    ("node_network_receive_frame_total", "receive_frame", |device| device.recv_frame),
    ("node_network_receive_compressed_total", "receive_compressed", |device| device.recv_compressed),
    ("node_network_receive_multicast_total", "receive_multicast", |device| device.recv_multicast),
    ("node_network_transmit_bytes_total", "transmit_bytes", |device| device.sent_bytes),
    ("node_network_transmit_packets_total", "transmit_packets", |device| device.sent_packets),
    ("node_network_transmit_errs_total", "transmit_errs", |device| device.sent_errs),
    ("node_network_transmit_drop_total", "transmit_drop", |device| device.sent_drop),
    ("node_network_transmit_fifo_total", "transmit_fifo", |device| device.sent_fifo),
    ("node_network_transmit_colls_total", "transmit_colls", |device| device.sent_colls),
    ("node_network_transmit_carrier_total", "transmit_carrier", |device| device.sent_carrier),
    ("node_network_transmit_compressed_total", "transmit_compressed", |device| device.sent_compressed),
];

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.net("dev");
    let text = machine.host.table(&path)?;
    let devices = InterfaceDeviceStatus::from_read(text.as_bytes());
    let devices = devices.map_err(|_| Failure::Garbage(path))?.0;
    let mut devices: Vec<&DeviceStatus> = devices
        .values()
        .filter(|device| !machine.filters.network_exclude.is_match(&device.name))
        .collect();
    devices.sort_unstable_by_key(|device| &device.name);
    for (name, what, value) in COLUMNS {
        let help = format!("Network device statistic {what}.");
        let mut samples = families.family(*name, Type::Counter, &help);
        for device in &devices {
            samples.put(&[("device", &device.name)], float(value(device)));
        }
    }
    // Not in the table.
    let mut samples = families.family(
        "node_network_receive_nohandler_total",
        Type::Counter,
        "Network device statistic receive_nohandler.",
    );
    for device in devices {
        let file = format!("class/net/{}/statistics/rx_nohandler", device.name);
        if let Some(packets) = figure(&machine.host.sys(&file)) {
            samples.put(&[("device", &device.name)], packets);
        }
    }
    Ok(())
}
