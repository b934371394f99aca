//! What types cannot say.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::{Config, suggest};
use crate::capture::settings::{Bound, OutOfRange};
use crate::export::Limits;
use crate::export::catalog::CATALOG;
use crate::node::{self, COLLECTORS};
use crate::workloads::selectors;
use crate::workloads::selectors::labels::{OPERATORS, Wrong};

/// Lines that anything may have; one metric never has more than all of them together.
const LINES: usize = 10_000_000;

/// Types of units that systemd keeps no processes in for long.
const WITHOUT_CGROUP: [&str; 8] = [
    "automount",
    "device",
    "mount",
    "path",
    "socket",
    "swap",
    "target",
    "timer",
];

/// How long the node's tables and, twice over, the containers' may hold up a scrape, which waits a
/// little longer, see `export::sources`.
const MOST_WAIT: Duration = Duration::from_millis(7500);

/// Keys whose bounds depend on another, which is to blame where they are as they always were.
pub(super) const DEPENDENT: [(&str, &str); 3] = [
    ("containers.timeout", "node.timeout"),
    ("capture.wake_bytes", "capture.ring_bytes"),
    ("capture.poll_min", "capture.poll_max"),
];

/// A value outside its bounds, or that contradicts another.
pub(super) struct Fault {
    /// Its key.
    pub(super) key: String,
    /// What is wrong, key included.
    pub(super) message: String,
}

impl From<OutOfRange> for Fault {
    fn from(error: OutOfRange) -> Self {
        Self {
            key: error.key().to_owned(),
            message: error.to_string(),
        }
    }
}

/// Every fault, in no order.
pub(super) fn faults(config: &Config) -> Vec<Fault> {
    let limits = &config.limits;
    let numbers = bounds(config)
        .into_iter()
        .filter_map(|bound| bound.check().err());
    let stale = OutOfRange::check_duration(
        "limits.stale",
        limits.stale,
        Duration::from_secs(10),
        Duration::from_hours(24),
    );
    let kernel = config.capture.faults();
    let (shortest, longest) = (Duration::from_millis(10), Duration::from_secs(7));
    let node = &config.node;
    // Shorter than a scrape waits, see `export::sources`.
    let waits = [
        ("node.timeout", node.timeout),
        ("node.filesystem_timeout", node.filesystem_timeout),
    ];
    let waits = waits.map(|(key, wait)| OutOfRange::check_duration(key, wait, shortest, longest));
    let left = MOST_WAIT.saturating_sub(node.timeout) / 2;
    let containers = OutOfRange::check_duration(
        "containers.timeout",
        config.containers.timeout,
        shortest,
        // Where the other is wrong itself there is nothing to be said of both.
        if left < shortest { MOST_WAIT } else { left },
    );
    let mut faults: Vec<Fault> = kernel
        .into_iter()
        .chain(numbers)
        .chain(stale.err())
        .chain(waits.into_iter().filter_map(Result::err))
        .chain(containers.err())
        .map(Fault::from)
        .collect();
    faults.extend(node.faults().into_iter().map(|fault| match &fault {
        node::Fault::Collector(key, index, name) => {
            let names = COLLECTORS.iter().map(|collector| collector.name);
            let key = format!("{key}[{index}]");
            let message = format!("{key}: {}", suggest::unknown("collector", name, names));
            Fault { key, message }
        }
        node::Fault::Pattern(..) => Fault {
            key: fault.key().to_owned(),
            message: fault.to_string(),
        },
    }));
    faults.extend(config.select.faults().into_iter().map(|fault| Fault {
        key: format!("{}[{}]", fault.key, fault.index),
        message: select(&fault),
    }));
    faults.extend(limits.metrics.iter().filter_map(|(name, lines)| {
        let key = format!("limits.metrics.{name}");
        let Some(row) = CATALOG.iter().find(|row| row.name == name) else {
            let names = CATALOG.iter().map(|row| row.name);
            let message = suggest::unknown("metric", name, names);
            return Some(Fault {
                message: format!("limits.metrics: {message}"),
                key,
            });
        };
        let least = 2 * row.kind.lines();
        bound(key, *lines, least, LINES)
            .check()
            .err()
            .map(Fault::from)
    }));
    faults.extend(level(&config.log.level).map(|message| Fault {
        key: "log.level".into(),
        message: format!("log.level: {message}"),
    }));
    faults
}

/// What is wrong with a selector, and what may have been meant.
fn select(fault: &selectors::Fault) -> String {
    let selectors::Fault {
        key, index, value, ..
    } = fault;
    match &fault.why {
        selectors::Why::Labels(Wrong::Operator(word)) => {
            let message = suggest::unknown("operator", word, OPERATORS.into_iter());
            format!("{key}[{index}]: \"{value}\": {message}")
        }
        selectors::Why::Unit => {
            format!("{fault}; did you mean \"{}\"?", unit(value.trim()))
        }
        _ => fault.to_string(),
    }
}

/// A unit that may have been meant: of the nearest type, else of that of the same name.
fn unit(text: &str) -> String {
    let (stem, kind) = text.rsplit_once('.').unwrap_or((text, ""));
    if let Some(near) = suggest::nearest(kind, selectors::TYPES.into_iter()) {
        return format!("{stem}.{near}");
    }
    if kind.is_empty() || WITHOUT_CGROUP.contains(&kind) {
        return format!("{stem}.service");
    }
    format!("{text}.service")
}

/// What is wrong with a level. A filter takes a bare word that is no level for the name of a
/// module, and the agent would say nothing at all.
fn level(text: &str) -> Option<String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    for word in text.split(',').map(str::trim) {
        let is_level = LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
        if !is_level && !word.contains(['=', ':', '[']) {
            return Some(suggest::unknown("level", word, LEVELS.into_iter()));
        }
    }
    let error = EnvFilter::try_new(text).err()?;
    Some(format!("\"{text}\": {error}"))
}

/// What each number outside `capture` may be, beside the others as they are.
pub(super) fn bounds(config: &Config) -> Vec<Bound> {
    let (reassembly, interpret) = (&config.reassembly, &config.interpret);
    let of = |key: &'static str, value: u32, least: u64, most: u64| {
        Bound::new(key, value.into(), least, most)
    };
    // Room for the last label set, and for as much again.
    let least = CATALOG.iter().map(|row| 2 * row.kind.lines()).max();
    vec![
        of(
            "reassembly.connections",
            reassembly.connections,
            1,
            4_000_000,
        ),
        bound("reassembly.held_bytes", reassembly.held_bytes, 0, 1 << 30),
        bound(
            "reassembly.held_segments",
            reassembly.held_segments,
            0,
            65_536,
        ),
        bound(
            "interpret.label_values",
            interpret.label_values,
            1024,
            16_000_000,
        ),
        bound("containers.limit", config.containers.limit, 1, 16_384),
        bound("interpret.connections", interpret.connections, 1, 4_000_000),
        of("interpret.entities", interpret.entities, 1, 4_000_000),
        of("interpret.shops", interpret.shops, 1, 4_000_000),
        of("interpret.statements", interpret.statements, 1, 1_000_000),
        bound(
            "limits.lines",
            config.limits.lines,
            Limits::least_lines(),
            LINES,
        ),
        bound(
            "limits.lines_per_metric",
            config.limits.lines_per_metric,
            least.unwrap_or_default(),
            LINES,
        ),
    ]
}

fn bound(
    key: impl Into<std::borrow::Cow<'static, str>>,
    value: usize,
    least: usize,
    most: usize,
) -> Bound {
    Bound::new(key, value as u64, least as u64, most as u64)
}
