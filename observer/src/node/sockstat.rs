//! Sockets and their memory, by protocol.

use super::host::{Failure, float, number, understood};
use super::{Families, Machine};

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.net("sockstat");
    let mut all = put(&machine.host.table(&path)?, families);
    match machine.host.table(&machine.host.net("sockstat6")) {
        Ok(text) => all &= put(&text, families),
        // Without IPv6 there is no such file, and nothing is missing.
        Err(Failure::Absent(_)) => {}
        Err(failure) => return Err(failure),
    }
    understood(all, path)
}

/// `TCP: inuse 4 orphan 0 tw 2 alloc 4 mem 26`; whether all was understood.
fn put(text: &str, families: &mut Families) -> bool {
    let mut all = true;
    for line in text.lines() {
        let Some((protocol, rest)) = line.split_once(':') else {
            all = false;
            continue;
        };
        let mut words = rest.split_ascii_whitespace();
        while let Some(field) = words.next() {
            let Some(value) = words.next().and_then(number) else {
                all = false;
                break;
            };
            let help = format!("Number of {protocol} sockets in state {field}.");
            families.gauge(format!("node_sockstat_{protocol}_{field}"), &help, value);
            if field == "mem" {
                let name = format!("node_sockstat_{protocol}_mem_bytes");
                let bytes = value * float(procfs::page_size());
                families.gauge(name, &help, bytes);
            }
        }
    }
    all
}
