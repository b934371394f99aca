//! Connections that the kernel tracks for translation and filters.

use super::host::{Failure, figure, float, hexadecimal, number, understood};
use super::{Families, Machine};

/// Columns of the table that has a line per processor, and what their sums are.
const COLUMNS: &[(&str, &str)] = &[
    ("found", "Number of searched entries which were successful."),
    (
        "invalid",
        "Number of packets seen which can not be tracked.",
    ),
    (
        "ignore",
        "Number of packets seen which are already connected to a conntrack entry.",
    ),
    ("insert", "Number of entries inserted into the list."),
    (
        "insert_failed",
        "Number of entries for which list insertion was attempted but failed.",
    ),
    (
        "drop",
        "Number of packets dropped due to conntrack failure.",
    ),
    (
        "early_drop",
        "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
    ),
    (
        "search_restart",
        "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
    ),
];

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let host = &machine.host;
    let count = host.proc("sys/net/netfilter/nf_conntrack_count");
    let Some(entries) = number(machine.host.table(&count)?.trim_end()) else {
        return Err(Failure::Garbage(count));
    };
    families.gauge(
        "node_nf_conntrack_entries",
        "Number of currently allocated flow entries for connection tracking.",
        entries,
    );
    if let Some(limit) = figure(&host.proc("sys/net/netfilter/nf_conntrack_max")) {
        families.gauge(
            "node_nf_conntrack_entries_limit",
            "Maximum size of connection tracking table.",
            limit,
        );
    }
    let path = host.net("stat/nf_conntrack");
    let text = machine.host.table(&path)?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines
        .next()
        .unwrap_or("")
        .split_ascii_whitespace()
        .collect();
    let mut sums = vec![0_u64; names.len()];
    let mut all = true;
    for line in lines {
        for (sum, value) in sums.iter_mut().zip(line.split_ascii_whitespace()) {
            match hexadecimal(value) {
                Some(value) => *sum = sum.saturating_add(value),
                None => all = false,
            }
        }
    }
    for (column, help) in COLUMNS {
        let place = names.iter().position(|name| name == column);
        if let Some(sum) = place.and_then(|place| sums.get(place)) {
            // Sums of counters that node-exporter calls gauges.
            families.gauge(
                format!("node_nf_conntrack_stat_{column}"),
                help,
                float(*sum),
            );
        }
    }
    understood(all, path)
}
