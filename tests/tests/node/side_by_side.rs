//! The same machine, told by node-exporter, by us, and by node-exporter again.
//!
//! A counter of ours lies between the two in every round, and a constant is equal. Any other gauge
//! is between them, or a thousandth off, in one round at least: a wrong unit or a wrong field never
//! is.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::node_exporter::NodeExporter;
use observer_tests::scrape::{Sample, Scrape};

use super::exceptions::{self, EXCEPTIONS};

/// Rounds at most; a gauge that moves all the time fits in some of them.
const ROUNDS: usize = 60;
/// A tick of the kernel's clock, in which times are counted.
const TICK: f64 = 0.01;
/// How far off a gauge may be, as a part of it: who reads it is a part of what is told, as the memory
/// that a scrape takes is of `Committed_AS`.
const READER: f64 = 0.001;

/// What does not change while a machine runs.
const CONSTANTS: &[&str] = &[
    "node_boot_time_seconds",
    "node_disk_info",
    "node_dmi_info",
    "node_entropy_pool_size_bits",
    "node_filefd_maximum",
    "node_filesystem_device_error",
    "node_filesystem_readonly",
    "node_filesystem_size_bytes",
    "node_memory_Hugepagesize_bytes",
    "node_memory_MemTotal_bytes",
    "node_memory_VmallocTotal_bytes",
    "node_network_flags",
    "node_network_iface_id",
    "node_network_info",
    "node_network_mtu_bytes",
    "node_network_protocol_type",
    "node_network_speed_bytes",
    "node_network_up",
    "node_nf_conntrack_entries_limit",
    "node_os_info",
    "node_os_version",
    "node_selinux_enabled",
    "node_time_clocksource_available_info",
    "node_time_clocksource_current_info",
    "node_time_zone_offset_seconds",
    "node_timex_tick_seconds",
    "node_uname_info",
];

type Series = (String, BTreeMap<String, String>);

fn values(scrape: &Scrape) -> BTreeMap<Series, f64> {
    let of = |sample: &Sample| ((sample.name.clone(), sample.labels.clone()), sample.value);
    scrape.samples().map(of).collect()
}

/// Untyped families are counters but for this one.
fn is_counter(types: &BTreeMap<String, String>, name: &str) -> bool {
    match types.get(name).map(String::as_str) {
        Some("counter") => true,
        Some("untyped") => !matches!(
            name,
            "node_netstat_Tcp_CurrEstab" | "node_netstat_Ip_Forwarding"
        ),
        _ => false,
    }
}

#[test]
fn every_family_of_node_exporter_is_ours_by_name_type_and_labels() -> Result<()> {
    let idle = Cgroup::create("node-idle")?;
    let (agent, exporter) = (Agent::observe(&[&idle])?, NodeExporter::start()?);
    let (theirs, ours) = (exporter.scrape()?, agent.scrape()?);
    eprintln!("not as node-exporter has it:");
    for (what, name, why) in EXCEPTIONS {
        eprintln!("  {what:?} {name}: {why}");
    }
    let mut wrong = Vec::new();
    for (name, kind) in theirs.types() {
        if exceptions::of_family(name).is_some() {
            continue;
        }
        match ours.types().get(name) {
            None => wrong.push(format!("{name} is missing")),
            Some(own) if own != kind => wrong.push(format!("{name} is {own}, not {kind}")),
            Some(_) => {}
        }
    }
    let own = values(&ours);
    for series in values(&theirs).into_keys() {
        let (name, labels) = &series;
        let collector = labels.get("collector").map_or("", String::as_str);
        let is_excepted = exceptions::of_family(name).is_some()
            || name == "node_exporter_build_info"
            || exceptions::of_collector(collector).is_some();
        if !is_excepted && !own.contains_key(&series) {
            wrong.push(format!("{name} {labels:?} is missing"));
        }
    }
    // Joined on by name only; its labels are the same.
    let labels = |scrape: &Scrape| -> BTreeSet<String> {
        let build = scrape.samples();
        let mut build = build.filter(|sample| sample.name == "node_exporter_build_info");
        build
            .next()
            .into_iter()
            .flat_map(|sample| sample.labels.keys().cloned())
            .collect()
    };
    ensure!(labels(&ours) == labels(&theirs), "{:?}", labels(&ours));
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// What two exporters tell of one moment each of a machine that they cannot look at together.
#[derive(Debug, Default)]
struct Comparison {
    /// Gauges that were between in a round.
    fits: BTreeSet<Series>,
    /// Gauges that were not, and what was told then.
    misfits: BTreeMap<Series, String>,
    compared: usize,
}

impl Comparison {
    /// Takes a round; a counter or a constant that is wrong is an error at once.
    fn round(
        &mut self,
        types: &BTreeMap<String, String>,
        [before, ours, after]: [&BTreeMap<Series, f64>; 3],
    ) -> Result<()> {
        self.compared = 0;
        for (series, low) in before {
            let (name, _) = series;
            let (Some(own), Some(high)) = (ours.get(series), after.get(series)) else {
                // What comes and goes; that it is there is another test's.
                continue;
            };
            if exceptions::of_values(name).is_some() {
                continue;
            }
            self.compared += 1;
            let told = format!("{low} <= {own} <= {high}");
            if CONSTANTS.contains(&name.as_str()) {
                let is_equal = (low.min(*high)..=low.max(*high)).contains(own);
                ensure!(is_equal, "{series:?}: {told}");
            } else if is_counter(types, name) {
                let is_between = (low - TICK..=high + TICK).contains(own);
                ensure!(is_between, "{series:?}: {told}");
            } else if is_near(*own, *low, *high) {
                self.fits.insert(series.clone());
            } else {
                self.misfits.insert(series.clone(), told);
            }
        }
        self.misfits.retain(|series, _| !self.fits.contains(series));
        Ok(())
    }
}

/// Whether a gauge is between two others, but for what [`READER`] allows.
fn is_near(own: f64, one: f64, other: f64) -> bool {
    let slack = own.abs() * READER;
    (one.min(other) - slack..=one.max(other) + slack).contains(&own)
}

#[test]
fn every_value_lies_between_two_of_node_exporter() -> Result<()> {
    let idle = Cgroup::create("node-values")?;
    let (agent, exporter) = (Agent::observe(&[&idle])?, NodeExporter::start()?);
    // Both know by then what they keep from one scrape to the next.
    let types = exporter.scrape()?.types().clone();
    agent.scrape()?;
    let mut comparison = Comparison::default();
    for _ in 0..ROUNDS {
        let before = values(&exporter.scrape()?);
        let ours = values(&agent.scrape()?);
        let after = values(&exporter.scrape()?);
        comparison.round(&types, [&before, &ours, &after])?;
        if comparison.misfits.is_empty() {
            break;
        }
    }
    let Comparison {
        misfits, compared, ..
    } = comparison;
    ensure!(compared > 200, "{compared} series are no comparison");
    ensure!(misfits.is_empty(), "never between: {misfits:#?}");
    Ok(())
}
