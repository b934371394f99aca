//! How many lines `/metrics` may have, and what to fold when they are used up.
//!
//! The unit is an exposed line, because that is what a scrape, a Prometheus and our memory pay
//! for: a label set of a counter or gauge is one, of a histogram its bounds and three more.
//!
//! ```text
//!   0                                   7/8            limit
//!   ├─────────── exact label sets ───────┼─ folded ones ─┤     of each metric, and of the total
//! ```
//!
//! The last eighth is kept for label sets with `_other` in them, so that what no longer fits is
//! still told apart by its other labels. Where even that is used up, every label is `_other`; the
//! lines of that last label set are set aside from the start.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::catalog::{CATALOG, Metric};

/// Bounds of what is exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Exposed lines of all metrics of the platform together.
    pub lines: usize,
    /// Exposed lines of one metric, where [`Self::metrics`] does not say otherwise.
    pub lines_per_metric: usize,
    /// Exposed lines of single metrics, by name.
    pub metrics: BTreeMap<String, usize>,
    /// How long series of a workload that is gone stay.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", regex(pattern = r"^ *([0-9]+ *[a-zA-Zµ]+ *)+$"))]
    pub stale: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lines: 50_000,
            lines_per_metric: 20_000,
            metrics: BTreeMap::new(),
            stale: Duration::from_mins(5),
        }
    }
}

impl Limits {
    /// The least [`Self::lines`] that leaves every metric its last label set and as much again.
    #[must_use]
    pub fn least_lines() -> usize {
        2 * CATALOG.iter().map(|row| row.kind.lines()).sum::<usize>()
    }

    /// Lines of one metric.
    #[must_use]
    pub fn of(&self, metric: Metric) -> usize {
        self.metrics
            .get(metric.row().name)
            .copied()
            .unwrap_or(self.lines_per_metric)
            .min(self.lines)
    }
}

/// Lines used and allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    used: usize,
    limit: usize,
}

impl Room {
    /// Room of which `used` lines are set aside.
    pub(super) const fn new(limit: usize, used: usize) -> Self {
        Self { used, limit }
    }

    pub(super) const fn used(self) -> usize {
        self.used
    }

    /// Whether an exact label set of that many lines fits.
    pub(super) const fn fits_exact(self, lines: usize) -> bool {
        self.used + lines <= self.limit - self.limit / 8
    }

    /// Whether a folded label set of that many lines fits.
    pub(super) const fn fits_folded(self, lines: usize) -> bool {
        self.used + lines <= self.limit
    }

    pub(super) const fn take(&mut self, lines: usize) {
        self.used += lines;
    }

    pub(super) const fn give_back(&mut self, lines: usize) {
        self.used = self.used.saturating_sub(lines);
    }
}

/// Labels in the order in which they are folded: first those that many values can flood, last
/// those without which a line says nothing. A label that is not here folds before all of them.
const FOLDED_LAST: &[&str] = &[
    "product_id",
    "query",
    "endpoint",
    "operation",
    "shop_id",
    "peer",
    "client",
    "server",
    "command",
    "sqlstate",
    "database",
    "method",
    "status_code",
    "status",
    "type",
    "step",
    "provider",
    "currency",
    "rule",
    "result",
    "outcome",
    "reason",
    "by",
    "protocol",
    "service",
];

/// The positions of a row's labels, in folding order.
pub(super) fn folding_order(labels: &[&str]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_key(|position| {
        let label = labels.get(*position).copied().unwrap_or_default();
        FOLDED_LAST
            .iter()
            .position(|known| *known == label)
            .map_or(0, |place| place + 1)
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_eighth_is_for_folded_label_sets() {
        let mut room = Room::new(80, 0);
        room.take(69);
        assert!(room.fits_exact(1));
        assert!(!room.fits_exact(2));
        assert!(room.fits_folded(11));
        assert!(!room.fits_folded(12));
        room.give_back(69);
        assert_eq!(room.used(), 0);
    }

    #[test]
    fn every_label_of_the_catalog_has_a_place_in_the_folding_order() {
        for row in CATALOG {
            for label in row.labels {
                assert!(FOLDED_LAST.contains(label), "{} {label}", row.name);
            }
        }
    }

    #[test]
    fn the_service_is_folded_last() {
        for row in CATALOG.iter().filter(|row| row.labels.contains(&"service")) {
            let last = folding_order(row.labels).last().copied().unwrap();
            assert_eq!(row.labels[last], "service", "{}", row.name);
        }
    }

    #[test]
    fn a_metric_may_have_a_limit_of_its_own() {
        let limits = Limits {
            metrics: BTreeMap::from([("naytife_redis_commands_total".into(), 7)]),
            ..Limits::default()
        };
        assert_eq!(limits.of(Metric::RedisCommands), 7);
        assert_eq!(limits.of(Metric::RedisLookups), 20_000);
    }
}
