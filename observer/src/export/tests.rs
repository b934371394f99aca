//! Drift guards: what the tables, the page and a real scrape promise each other.
#![expect(clippy::float_cmp, reason = "byte counts are whole numbers, and exact")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use observer_ebpf::{COUNTERS, Counter};

use super::agent::{Probe, Reloads, Ring, Statistics, Watch};
use super::catalog::{AGENT, CATALOG, Kind, LABEL_LIMIT, Row};
use super::document::{self, COMPATIBILITY_NAMES, LABELS};
use super::encode::Scrape;
use super::*;
use crate::ledger::{Fate, Ledger};

fn all() -> Vec<(&'static str, Kind, &'static [&'static str], &'static str)> {
    fn parts<M>(
        row: &'static Row<M>,
    ) -> (&'static str, Kind, &'static [&'static str], &'static str) {
        (row.name, row.kind, row.labels, row.help)
    }
    CATALOG
        .iter()
        .map(parts)
        .chain(AGENT.iter().map(parts))
        .collect()
}

#[test]
fn names_are_unique() {
    let names: Vec<&str> = all().iter().map(|row| row.0).collect();
    let unique: HashSet<&&str> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
}

#[test]
fn names_say_their_unit_and_kind() {
    // Counted things have no unit; everything else names one, last or before `_total`.
    // A value is in the major unit of the currency that is its label.
    const UNITS: &[&str] = &["_seconds", "_bytes", "_value"];
    const COUNTED: &[&str] = &[
        "_in_flight",
        "_active",
        "_info",
        "_attached",
        "_successful",
        "_tracked",
        "_lines",
        "_limit",
        "_values",
        "_pending",
        "_shops",
        "_levels",
        "_variations",
        "_cgroups",
        "_objects",
    ];
    for (name, kind, ..) in all() {
        if COMPATIBILITY_NAMES
            .iter()
            .any(|(known, _)| name.starts_with(known))
        {
            continue;
        }
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name}"
        );
        let has_unit = UNITS.iter().any(|unit| name.ends_with(unit));
        assert_eq!(
            name.ends_with("_total"),
            kind.name() == "counter",
            "{name}: `_total` is for counters and for all of them"
        );
        match kind {
            Kind::Counter | Kind::Money => {}
            Kind::Histogram(_) => assert!(has_unit, "{name} has no unit"),
            Kind::Gauge | Kind::Level => assert!(
                has_unit || COUNTED.iter().any(|what| name.ends_with(what)),
                "{name} has neither a unit nor counts a thing"
            ),
        }
    }
}

#[test]
fn helps_are_sentences() {
    for (name, _, _, help) in all() {
        assert!(help.ends_with('.'), "{name}: {help}");
        assert!(!help.contains('|') && !help.contains('\n'), "{name}");
        assert!(
            help.starts_with(|first: char| !first.is_lowercase()),
            "{name}"
        );
    }
}

#[test]
fn labels_are_few_documented_and_used() {
    let documented: BTreeSet<&str> = LABELS.iter().map(|(label, _)| *label).collect();
    assert_eq!(documented.len(), LABELS.len());
    let mut used = BTreeSet::new();
    for (name, _, labels, _) in all() {
        assert!(labels.len() <= LABEL_LIMIT, "{name}");
        let unique: HashSet<_> = labels.iter().collect();
        assert_eq!(unique.len(), labels.len(), "{name}");
        assert!(!labels.contains(&"le") && !labels.contains(&"quantile"));
        used.extend(labels.iter().copied());
    }
    assert_eq!(used, documented);
}

#[test]
fn bounds_rise() {
    for (name, kind, ..) in all() {
        if let Kind::Histogram(bounds) = kind {
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
        }
    }
}

#[test]
fn rows_are_found_by_their_identifier() {
    assert!(CATALOG.iter().all(|row| row.metric.row().name == row.name));
    assert!(AGENT.iter().all(|row| row.metric.row().name == row.name));
}

#[test]
fn nothing_else_knows_the_crate() {
    fn check(folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("export") {
                check(&path);
            } else if path.is_file() {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains("prometheus::"), "{}", path.display());
            }
        }
    }
    check(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
}

#[test]
fn the_page_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == document::metrics(),
        "docs/metrics.md is stale: cargo run -p observer -- metrics > docs/metrics.md"
    );
}

/// A pipeline that has something to say about everything.
struct Everything(Arc<Ledger>);

impl Observed for Everything {
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn ledgers(&self) -> Vec<Arc<Ledger>> {
        vec![Arc::clone(&self.0), Arc::new(Ledger::default())]
    }

    fn kernel_counter(&self, counter: Counter) -> u64 {
        if counter == Counter::SeenBytes {
            1_000_000
        } else {
            1000 + counter as u64
        }
    }

    fn statistics(&self) -> Statistics {
        let ring = Ring {
            used: 4096,
            size: 8 << 20,
        };
        Statistics {
            probes: vec![
                Probe {
                    name: "ingress",
                    required: true,
                    missing: None,
                    without: "what is received",
                },
                Probe {
                    name: "exec",
                    required: false,
                    missing: Some("no \"tracepoint\"".into()),
                    without: "what is executed",
                },
            ],
            records: vec![("capture", 1), ("decode", 2), ("decode", 3)],
            errors: vec![
                ("capture", "malformed_record", 1),
                ("http", "accept", 1),
                ("capture", "malformed_record", 1),
            ],
            rings: vec![ring, ring],
            maps: vec![("RINGS".into(), 8 << 20)],
            lag_seconds: 0.002,
            connections: 7,
            reloads: Reloads {
                applied: 2,
                refused: 1,
                last_refused: true,
                read: 1.7e9,
            },
            kubernetes: vec![Watch {
                resource: "pods",
                synchronized: 1.7e9,
                errors: 1,
                objects: 2,
                refused: 0,
            }],
            ..Statistics::default()
        }
    }
}

fn scrape_of_everything() -> String {
    let (mut recorder, registry) = Recorder::new(&Limits::default());
    let mut symbols = Symbols::new(100);
    let nasty = symbols.intern("a \"quoted\\\" value,\nin {two} lines; é");
    for row in CATALOG {
        for first in [nasty, Symbol::EMPTY, Symbol::OTHER] {
            let mut labels: SmallVec<[Symbol; 6]> =
                row.labels.iter().map(|_| Symbol::UNKNOWN).collect();
            if let Some(label) = labels.first_mut() {
                *label = first;
            }
            let fact = Fact {
                metric: row.metric,
                labels,
                value: 1.0,
                ends: false,
            };
            recorder.tick(crate::clock::now(), &symbols);
            recorder.record(&fact, &symbols);
        }
    }
    recorder.tick(crate::clock::now(), &symbols);
    let ledger = Arc::new(Ledger::default());
    for (place, fate) in Fate::ALL.iter().enumerate() {
        ledger.receive(10);
        ledger.settle(*fate, place as u64);
    }
    let agent = Arc::new(Agent::default());
    agent.observe(Arc::new(Everything(ledger)));
    let chunks: Vec<bytes::Bytes> = Scrape::new(registry, agent).collect();
    assert!(chunks.iter().all(|chunk| chunk.len() < 64 * 1024));
    assert!(chunks.len() > 1, "one chunk proves nothing");
    String::from_utf8(chunks.concat()).unwrap()
}

#[test]
fn a_scrape_has_every_metric_once_and_in_order() {
    let text = scrape_of_everything();
    let types: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let mut platform: Vec<&str> = CATALOG.iter().map(|row| row.name).collect();
    let mut own: Vec<&str> = AGENT.iter().map(|row| row.name).collect();
    platform.sort_unstable();
    own.sort_unstable();
    assert_eq!(types, [platform, own].concat());
    let mut seen = HashSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(series), "{series} stands twice");
    }
}

#[test]
fn the_ledger_closes_on_the_page() {
    let text = scrape_of_everything();
    let mut sums = BTreeMap::<&str, f64>::new();
    for line in text.lines() {
        let (series, value) = line.rsplit_once(' ').unwrap();
        if let Some(labels) = series.strip_prefix("observer_bytes_total{outcome=\"") {
            *sums.entry(labels.split('"').next().unwrap()).or_default() +=
                value.parse::<f64>().unwrap();
        } else if series == "observer_bytes_pending" {
            sums.insert("pending", value.parse().unwrap());
        }
    }
    assert_eq!(
        sums.keys().copied().collect::<Vec<_>>(),
        ["decoded", "lost", "pending", "seen", "skipped"]
    );
    assert_eq!(
        sums["seen"],
        sums["decoded"] + sums["lost"] + sums["skipped"] + sums["pending"]
    );
}

#[test]
fn every_kernel_counter_is_shown() {
    let text = scrape_of_everything();
    for row in COUNTERS {
        let shown = if row.outcome == observer_ebpf::Outcome::Count {
            format!(
                "observer_kernel_events_total{{event=\"{}\"}} {}\n",
                row.reason,
                1000 + row.counter as u64
            )
        } else {
            format!("stage=\"kernel\",reason=\"{}\"}} 1", row.reason)
        };
        assert!(text.contains(&shown), "{shown}");
    }
}

#[test]
fn rows_of_one_stage_add_up() {
    let text = scrape_of_everything();
    assert!(text.contains("observer_records_total{stage=\"decode\"} 5\n"));
    assert!(
        text.contains("observer_errors_total{stage=\"capture\",kind=\"malformed_record\"} 2\n")
    );
    assert!(text.contains("observer_errors_total{stage=\"http\",kind=\"accept\"} 1\n"));
}

#[test]
fn promtool_has_nothing_to_say() {
    let mut promtool = match Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(promtool) => promtool,
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "promtool (Debian: prometheus) is needed: {error}"
            );
            eprintln!("skipped: promtool is not installed ({error})");
            return;
        }
    };
    let text = scrape_of_everything();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| {
            !COMPATIBILITY_NAMES
                .iter()
                .any(|(name, _)| line.starts_with(name))
        })
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(output.status.success() || !said.is_empty());
}
