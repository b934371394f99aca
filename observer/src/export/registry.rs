//! What scrapes read: every series, and what the recorder says of itself.
//!
//! The recorder writes, scrapes read. They share the numbers, which are atomics, and one lock per
//! metric, which a scrape holds only while it copies a list of pointers: a slow client never holds
//! up the data path, and the data path never holds up a scrape.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::catalog::{CATALOG, Kind, Metric, Row};
use super::limits::Limits;
use super::series::{Key, Series};

/// Every series of the platform's metrics.
#[derive(Debug)]
pub struct Registry {
    families: Vec<Family>,
    /// Exposed lines all metrics may have.
    pub(super) lines_limit: usize,
    pub(super) statistics: Statistics,
}

/// What the recorder says of itself.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    pub(super) facts: AtomicU64,
    pub(super) label_values: AtomicUsize,
    pub(super) label_values_refused: AtomicU64,
    pub(super) refusals: [AtomicU64; Refusal::ALL.len()],
}

/// Why a fact was not recorded. Each is a mistake of ours, and none may cost more than the fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its labels are not those of the catalog.
    Labels,
    /// Its value is not a number, or negative where that cannot be.
    Value,
    /// A counting gauge was told to count down what it never counted.
    Unbalanced,
}

impl Refusal {
    pub(super) const ALL: [Self; 3] = [Self::Labels, Self::Value, Self::Unbalanced];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Value => "value",
            Self::Unbalanced => "unbalanced",
        }
    }
}

/// A metric and its series.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) row: &'static Row,
    /// A histogram's bounds as `le` shows them, `+Inf` last.
    pub(super) bounds: Vec<Box<str>>,
    pub(super) lines: AtomicUsize,
    pub(super) lines_limit: usize,
    pub(super) overflow: AtomicU64,
    pub(super) removed: AtomicU64,
    /// Event time of the last fact in nanoseconds, as of the recorder's last tick; kept for gauges.
    pub(super) learnt: AtomicU64,
    series: RwLock<Vec<Arc<Series>>>,
}

impl Registry {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            families: CATALOG.iter().map(|row| Family::new(row, limits)).collect(),
            lines_limit: limits.lines,
            statistics: Statistics::default(),
        }
    }

    /// In the catalog's order.
    pub(super) fn families(&self) -> &[Family] {
        &self.families
    }

    pub(super) fn family(&self, metric: Metric) -> Option<&Family> {
        self.families.get(metric as usize)
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        if let Some(count) = self.statistics.refusals.get(refusal as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn refused(&self, refusal: Refusal) -> u64 {
        self.statistics
            .refusals
            .get(refusal as usize)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Exposed lines of all metrics together.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.families
            .iter()
            .map(|family| family.lines.load(Ordering::Relaxed))
            .sum()
    }
}

impl Family {
    fn new(row: &'static Row, limits: &Limits) -> Self {
        let bounds = match row.kind {
            Kind::Histogram(bounds) => bounds
                .iter()
                .map(|bound| bound.to_string().into())
                .chain(["+Inf".into()])
                .collect(),
            Kind::Counter | Kind::Money | Kind::Gauge | Kind::Level => Vec::new(),
        };
        Self {
            row,
            bounds,
            lines: AtomicUsize::new(0),
            lines_limit: limits.of(row.metric),
            overflow: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            learnt: AtomicU64::new(0),
            series: RwLock::default(),
        }
    }

    /// The series as of now. A list of pointers, so that encoding needs no lock and a label set
    /// that is removed and comes back meanwhile cannot appear twice.
    pub(super) fn snapshot(&self) -> Vec<Arc<Series>> {
        self.series
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How much was counted, or how often measured, in all series.
    pub(super) fn total(&self) -> u64 {
        let series = self.snapshot();
        series.iter().map(|series| series.handle.count()).sum()
    }

    pub(super) fn push(&self, series: Arc<Series>) {
        self.series
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(series);
        self.lines
            .fetch_add(self.row.kind.lines(), Ordering::Relaxed);
    }

    /// Removes one, if it is there.
    pub(super) fn remove(&self, key: Key) {
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = series.iter().position(|series| series.key == key) else {
            return;
        };
        series.remove(place);
        drop(series);
        self.removed.fetch_add(1, Ordering::Relaxed);
        self.lines
            .fetch_sub(self.row.kind.lines(), Ordering::Relaxed);
    }

    pub(super) fn retain(&self, mut keep: impl FnMut(&Series) -> bool) {
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let before = series.len();
        series.retain(|series| keep(series));
        let removed = before - series.len();
        drop(series);
        self.removed.fetch_add(removed as u64, Ordering::Relaxed);
        self.lines
            .fetch_sub(removed * self.row.kind.lines(), Ordering::Relaxed);
    }
}
