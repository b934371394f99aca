//! Counts of the network's protocols, those that are asked for.

use std::sync::MutexGuard;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::host::{Failure, number, understood};
use super::{Families, Machine, Type, lock};

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let mut shown = Shown {
        machine,
        known: lock(&machine.netstat),
        families,
        key: String::new(),
    };
    let mut all = true;
    for file in ["netstat", "snmp"] {
        let text = machine.host.table(&machine.host.net(file))?;
        all &= pairs(&text, |protocol, field, value| {
            shown.put(protocol, field, value);
        });
    }
    // Without IPv6 there is no such file, and nothing is missing.
    match machine.host.table(&machine.host.net("snmp6")) {
        Ok(text) => {
            all &= sixth(&text, |protocol, field, value| {
                shown.put(protocol, field, value);
            });
        }
        Err(Failure::Absent(_)) => {}
        Err(failure) => return Err(failure),
    }
    understood(all, machine.host.net("netstat"))
}

/// Which fields are shown, of those that were met: a kernel has hundreds, and they stay the same.
pub(super) type Known = HashMap<String, bool, FixedState>;

/// Fields that are remembered; further ones are matched every time.
const MOST: usize = 4096;

struct Shown<'a> {
    machine: &'a Machine,
    known: MutexGuard<'a, Known>,
    families: &'a mut Families,
    key: String,
}

impl Shown<'_> {
    fn put(&mut self, protocol: &str, field: &str, value: f64) {
        self.key.clear();
        self.key.extend([protocol, "_", field]);
        if self.is_shown() {
            let (name, help) = (
                format!("node_netstat_{}", self.key),
                format!("Statistic {protocol}{field}."),
            );
            let mut samples = self.families.family(name, Type::Untyped, &help);
            samples.put(&[], value);
        }
    }

    fn is_shown(&mut self) -> bool {
        if let Some(is_shown) = self.known.get(&self.key) {
            return *is_shown;
        }
        let is_shown = self.machine.filters.netstat_fields.is_match(&self.key);
        if self.known.len() < MOST {
            self.known.insert(self.key.clone(), is_shown);
        }
        is_shown
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
            each(
                name.get(..=protocol.len()).unwrap_or(protocol),
                field,
                value,
            );
        }
    }
    all
}
