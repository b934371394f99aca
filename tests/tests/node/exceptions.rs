//! What is not as node-exporter has it, and why; `docs/node.md` has the same list.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

/// What is excepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Families whose names begin so are missing.
    Families,
    /// Series of the collector are missing.
    Collector,
    /// The family is there, with values of its own.
    Values,
}

/// What, of what, and why.
pub(super) const EXCEPTIONS: &[(What, &str, &str)] = &[
    (What::Families, "go_", "the agent is not written in Go"),
    (
        What::Families,
        "promhttp_",
        "of Go's HTTP handler; `observer_scrapes_total` counts scrapes",
    ),
    (What::Families, "node_bcache_", NOT_ASKED),
    (What::Families, "node_btrfs_", NOT_ASKED),
    (What::Families, "node_edac_", NOT_ASKED),
    (What::Families, "node_fibrechannel_", NOT_ASKED),
    (What::Families, "node_infiniband_", NOT_ASKED),
    (What::Families, "node_ipvs_", NOT_ASKED),
    (What::Families, "node_nfs_", NOT_ASKED),
    (What::Families, "node_nfsd_", NOT_ASKED),
    (What::Families, "node_nvme_", NOT_ASKED),
    (What::Families, "node_power_supply_", NOT_ASKED),
    (What::Families, "node_rapl_", NOT_ASKED),
    (What::Families, "node_systemd_", NOT_ASKED),
    (What::Families, "node_tape_", NOT_ASKED),
    (What::Families, "node_xfs_", NOT_ASKED),
    (What::Families, "node_zfs_", NOT_ASKED),
    (What::Collector, "bcache", NOT_ASKED),
    (What::Collector, "btrfs", NOT_ASKED),
    (What::Collector, "edac", NOT_ASKED),
    (What::Collector, "fibrechannel", NOT_ASKED),
    (What::Collector, "infiniband", NOT_ASKED),
    (What::Collector, "ipvs", NOT_ASKED),
    (What::Collector, "nfs", NOT_ASKED),
    (What::Collector, "nfsd", NOT_ASKED),
    (What::Collector, "nvme", NOT_ASKED),
    (What::Collector, "powersupplyclass", NOT_ASKED),
    (What::Collector, "rapl", NOT_ASKED),
    (What::Collector, "systemd", NOT_ASKED),
    (What::Collector, "tapestats", NOT_ASKED),
    (What::Collector, "xfs", NOT_ASKED),
    (What::Collector, "zfs", NOT_ASKED),
    (
        What::Values,
        "node_exporter_build_info",
        "the version is the agent's, and what belongs to Go is empty",
    ),
    (
        What::Values,
        "node_scrape_collector_duration_seconds",
        "each takes its own time",
    ),
    (What::Values, "process_", "each speaks of its own process"),
    (
        What::Values,
        "node_memory_VmallocUsed_bytes",
        "a thread's stack is in it, also that of the thread that reads it",
    ),
    (
        What::Values,
        "node_memory_KernelStack_bytes",
        "a thread's stack is in it, also that of the thread that reads it",
    ),
];

const NOT_ASKED: &str = "hardware, file systems and services that no collector of the agent reads";

/// Why a family is missing.
pub(super) fn of_family(name: &str) -> Option<&'static str> {
    find(What::Families, |prefix| name.starts_with(prefix))
}

/// Why the series of a collector are missing.
pub(super) fn of_collector(name: &str) -> Option<&'static str> {
    find(What::Collector, |collector| name == collector)
}

/// Why values are not compared.
pub(super) fn of_values(name: &str) -> Option<&'static str> {
    find(What::Values, |prefix| name.starts_with(prefix))
}

fn find(what: What, is: impl Fn(&str) -> bool) -> Option<&'static str> {
    let mut rows = EXCEPTIONS.iter();
    let row = rows.find(|(of, name, _)| *of == what && is(name));
    row.map(|(_, _, why)| *why)
}

#[test]
fn the_page_has_every_exception() -> Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/node.md");
    let page = fs::read_to_string(page)?;
    for (what, name, why) in EXCEPTIONS {
        let row = match what {
            What::Families => format!("| families `{name}*` | {why} |"),
            What::Collector => format!("| `node_scrape_collector_*` of `{name}` | {why} |"),
            What::Values => format!("| values of `{name}` | {why} |"),
        };
        ensure!(page.contains(&row), "docs/node.md lacks: {row}");
    }
    Ok(())
}
