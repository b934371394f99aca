//! Bytes that wait in UDP's sockets.

use procfs::net::UdpNetEntries;
use procfs::{FromReadSI as _, current_system_info};

use super::host::{Failure, float};
use super::{Families, Machine, Type};

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let help = "Number of allocated memory in the kernel for UDP datagrams in bytes.";
    let mut samples = families.family("node_udp_queues", Type::Gauge, help);
    for (file, version) in [("udp", "v4"), ("udp6", "v6")] {
        let path = machine.host.net(file);
        let text = match machine.host.table(&path) {
            // Without IPv6 there is no such file, and nothing is missing.
            Err(Failure::Absent(_)) if version == "v6" => return Ok(()),
            other => other?,
        };
        let sockets = UdpNetEntries::from_read(text.as_bytes(), current_system_info())
            .map_err(|_| Failure::Garbage(path))?
            .0;
        let sum = |queue: fn(&procfs::net::UdpNetEntry) -> u32| {
            let bytes: u64 = sockets.iter().map(|socket| u64::from(queue(socket))).sum();
            float(bytes)
        };
        for (queue, bytes) in [
            ("rx", sum(|socket| socket.rx_queue)),
            ("tx", sum(|socket| socket.tx_queue)),
        ] {
            samples.put(&[("ip", version), ("queue", queue)], bytes);
        }
    }
    Ok(())
}
