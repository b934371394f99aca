//! Counts of the network's protocols, those that are asked for.

use super::host::{Failure, number, read, understood};
use super::{Families, Machine, Type};

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let mut all = true;
    for file in ["netstat", "snmp"] {
        let text = read(&machine.host.net(file))?;
        all &= pairs(&text, |protocol, field, value| {
            put(machine, families, protocol, field, value);
        });
    }
    // Without IPv6 there is no such file, and nothing is missing.
    match read(&machine.host.net("snmp6")) {
        Ok(text) => {
            all &= sixth(&text, |protocol, field, value| {
                put(machine, families, protocol, field, value);
            });
        }
        Err(Failure::Absent(_)) => {}
        Err(failure) => return Err(failure),
    }
    understood(all, machine.host.net("netstat"))
}

fn put(machine: &Machine, families: &mut Families, protocol: &str, field: &str, value: f64) {
    let key = format!("{protocol}_{field}");
    if machine.filters.netstat_fields.is_match(&key) {
        let help = format!("Statistic {protocol}{field}.");
        let mut samples = families.family(format!("node_netstat_{key}"), Type::Untyped, &help);
        samples.put(&[], value);
    }
}

/// Two lines a protocol, names and values; whether all were understood.
///
/// ```text
/// Udp: InDatagrams NoPorts
/// Udp: 916 0
/// ```
fn pairs(text: &str, mut each: impl FnMut(&str, &str, f64)) -> bool {
    let mut all = true;
    let mut lines = text.lines();
    while let Some(names) = lines.next() {
        let values = lines.next().unwrap_or_default();
        let (Some((protocol, names)), Some((same, values))) =
            (names.split_once(':'), values.split_once(':'))
        else {
            all = false;
            continue;
        };
        let (mut names, mut values) = (
            names.split_ascii_whitespace(),
            values.split_ascii_whitespace(),
        );
        all &= protocol == same;
        for (name, value) in names.by_ref().zip(values.by_ref()) {
            match number(value) {
                Some(value) if protocol == same => each(protocol, name, value),
                _ => all = false,
            }
        }
        all &= names.next().is_none() && values.next().is_none();
    }
    all
}

/// A line a field: `Udp6InDatagrams 0`.
fn sixth(text: &str, mut each: impl FnMut(&str, &str, f64)) -> bool {
    let mut all = true;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(value)) = (words.next(), words.next().and_then(number)) else {
            all = false;
            continue;
        };
        // Others are not IPv6's.
        if let Some((protocol, field)) = name.split_once('6') {
            each(&format!("{protocol}6"), field, value);
        }
    }
    all
}
