//! The tables of a status as columns and rows, over a time or since the start.

use std::collections::HashMap;
use std::hash::Hash;

use super::View;
use crate::export::status::quantile::quantile;
use crate::export::status::{Durations, Entry, Ledger, Status, Table};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Takes what the others leave, and is cut in its middle.
    Name,
    /// Is left out where all rows say the same.
    Label,
    /// How many, per second over a time or in all since the start.
    Amount,
    /// A part of a whole, from 0 to 1.
    Share,
    /// Seconds.
    Time,
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) kind: Kind,
}

/// A cell of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Number(Option<f64>),
    /// A whole number.
    Count(u64),
    Bytes(f64),
    /// Seconds, and the last bound of their histogram.
    Time(Option<f64>, f64),
}

macro_rules! columns {
    ($($name:ident: $($head:literal $kind:ident),*;)*) => {
        $(const $name: &[Column] = &[$(Column { head: $head, kind: Kind::$kind },)*];)*
    };
}

columns! {
    ROUTES: "route" Name, "workload" Label, "req" Amount, "4xx" Share, "5xx" Share, "p50" Time, "p95" Time, "p99" Time;
    SHOPS: "shop" Name, "req" Amount, "sql" Amount, "4xx" Share, "5xx" Share, "p50" Time, "p95" Time, "p99" Time;
    QUERIES: "query" Name, "verb" Label, "database" Label, "workload" Label, "exec" Amount, "rows" Amount, "p50" Time, "p95" Time, "p99" Time;
    REDIS: "command" Name, "workload" Label, "cmd" Amount, "errors" Amount, "p50" Time, "p95" Time, "p99" Time;
    CONNECTIONS: "pair" Name, "open" Amount, "accept" Amount, "refuse" Amount, "reset" Amount, "resent" Amount, "p50" Time, "p95" Time;
    LOSSES: "what" Name, "where" Label, "amount" Amount, "total" Amount, "share" Share;
}

impl View {
    /// In the order of their keys.
    pub(super) const ALL: [Self; 6] = [
        Self::Routes,
        Self::Shops,
        Self::Queries,
        Self::Redis,
        Self::Connections,
        Self::Losses,
    ];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Routes => "Routes",
            Self::Shops => "Shops",
            Self::Queries => "Queries",
            Self::Redis => "Redis",
            Self::Connections => "Connections",
            Self::Losses => "Losses",
        }
    }

    pub(super) const fn columns(self) -> &'static [Column] {
        match self {
            Self::Routes => ROUTES,
            Self::Shops => SHOPS,
            Self::Queries => QUERIES,
            Self::Redis => REDIS,
            Self::Connections => CONNECTIONS,
            Self::Losses => LOSSES,
        }
    }

    /// The column that says how much.
    pub(super) fn amount(self) -> usize {
        let mut columns = self.columns().iter();
        let amount = columns.position(|column| column.kind == Kind::Amount);
        amount.unwrap_or_default()
    }
}

/// What happened between two answers; in all since the start where there is but one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period<'a> {
    pub(super) now: &'a Status,
    pub(super) before: Option<&'a Status>,
    /// What amounts are divided by; nothing where they are totals.
    pub(super) seconds: Option<f64>,
}

impl Period<'_> {
    /// The rows of a view: a cell for each of its columns.
    pub(super) fn rows(&self, view: View) -> Vec<Vec<Cell>> {
        match view {
            View::Routes => self.routes(),
            View::Shops => self.shops(),
            View::Queries => self.queries(),
            View::Redis => self.redis(),
            View::Connections => self.connections(),
            View::Losses => self.losses(),
        }
    }

    fn routes(&self) -> Vec<Vec<Cell>> {
        let bounds = &self.now.tables.bounds.requests;
        let changes = self.changes(
            |status| &status.tables.routes,
            |row| [&row.service, &row.method, &row.endpoint],
        );
        let rows = changes.map(|change| {
            let mut cells = vec![
                text(format!("{} {}", change.now.method, change.now.endpoint)),
                text(&change.now.service),
                change.amount(|row| row.requests),
                change.share(|row| row.client_errors, |row| row.requests),
                change.share(|row| row.server_errors, |row| row.requests),
            ];
            cells.extend(change.times(bounds, |row| &row.duration));
            cells
        });
        rows.collect()
    }

    fn shops(&self) -> Vec<Vec<Cell>> {
        let bounds = &self.now.tables.bounds.requests;
        let changes = self.changes(|status| &status.tables.shops, |row| [&row.shop_id]);
        let rows = changes.map(|change| {
            let name = match change.now.shop_id.as_str() {
                "" => "no tenant",
                id => id,
            };
            let mut cells = vec![
                text(name),
                change.amount(|row| row.requests),
                change.amount(|row| row.executions),
                change.share(|row| row.client_errors, |row| row.requests),
                change.share(|row| row.server_errors, |row| row.requests),
            ];
            cells.extend(change.times(bounds, |row| &row.duration));
            cells
        });
        rows.collect()
    }

    fn queries(&self) -> Vec<Vec<Cell>> {
        let bounds = &self.now.tables.bounds.stores;
        let changes = self.changes(
            |status| &status.tables.queries,
            |row| [&row.service, &row.database, &row.query, &row.operation],
        );
        let rows = changes.map(|change| {
            let mut cells = vec![
                text(&change.now.query),
                text(&change.now.operation),
                text(&change.now.database),
                text(&change.now.service),
                change.amount(|row| row.executions),
                change.amount(|row| row.rows),
            ];
            cells.extend(change.times(bounds, |row| &row.duration));
            cells
        });
        rows.collect()
    }

    fn redis(&self) -> Vec<Vec<Cell>> {
        let bounds = &self.now.tables.bounds.stores;
        let changes = self.changes(
            |status| &status.tables.redis,
            |row| [&row.service, &row.command],
        );
        let rows = changes.map(|change| {
            let mut cells = vec![
                text(&change.now.command),
                text(&change.now.service),
                change.amount(|row| row.commands),
                change.amount(|row| row.errors),
            ];
            cells.extend(change.times(bounds, |row| &row.duration));
            cells
        });
        rows.collect()
    }

    fn connections(&self) -> Vec<Vec<Cell>> {
        let bounds = &self.now.tables.bounds.round_trips;
        let changes = self.changes(
            |status| &status.tables.connections,
            |row| [&row.service, &row.peer],
        );
        let rows = changes.map(|change| {
            let mut cells = vec![
                text(format!("{} – {}", change.now.service, change.now.peer)),
                change.amount(|row| row.opened),
                change.amount(|row| row.accepted),
                change.amount(|row| row.refused),
                change.amount(|row| row.reset),
                change.amount(|row| row.retransmitted),
            ];
            cells.extend(
                change
                    .times(bounds, |row| &row.round_trip)
                    .into_iter()
                    .take(2),
            );
            cells
        });
        rows.collect()
    }

    /// Lines of the ledger, errors and overflows: those that are not zero.
    fn losses(&self) -> Vec<Vec<Cell>> {
        let seen = self.now.ledger.seen;
        let mut rows = Vec::new();
        for (outcome, of) in LEDGER {
            for entry in of(&self.now.ledger) {
                let before = self.before.and_then(|before| {
                    let entries = of(&before.ledger);
                    entries
                        .iter()
                        .find(|old| (&old.stage, &old.reason) == (&entry.stage, &entry.reason))
                });
                let rise = entry
                    .bytes
                    .saturating_sub(before.map_or(0, |old| old.bytes));
                rows.push(vec![
                    text(format!("{outcome}: {}", entry.reason)),
                    text(&entry.stage),
                    Cell::Bytes(float(rise) / self.seconds.unwrap_or(1.0)),
                    Cell::Bytes(float(entry.bytes)),
                    Cell::Number(part(entry.bytes, seen)),
                ]);
            }
        }
        for trouble in &self.now.errors {
            let before = self.before.and_then(|before| {
                let mut errors = before.errors.iter();
                errors.find(|old| (&old.stage, &old.kind) == (&trouble.stage, &trouble.kind))
            });
            let name = format!("error: {}", trouble.kind);
            let before = before.map_or(0, |old| old.count);
            rows.push(self.trouble(name, &trouble.stage, trouble.count, before));
        }
        for metric in &self.now.series.metrics {
            let before = self.before.and_then(|before| {
                let mut metrics = before.series.metrics.iter();
                metrics.find(|old| old.name == metric.name)
            });
            let name = format!("no room: {}", metric.name);
            let before = before.map_or(0, |old| old.overflow);
            rows.push(self.trouble(name, "export", metric.overflow, before));
        }
        rows.retain(|row| match row.get(TOTAL) {
            Some(Cell::Bytes(total)) => *total > 0.0,
            Some(Cell::Count(total)) => *total > 0,
            _ => false,
        });
        rows
    }

    fn trouble(&self, name: String, stage: &str, count: u64, before: u64) -> Vec<Cell> {
        vec![
            text(name),
            text(stage),
            amount(Some(count.saturating_sub(before)), self.seconds),
            Cell::Count(count),
            Cell::Number(None),
        ]
    }

    /// The rows of a table, each with what it was before.
    fn changes<'a, R: 'a, K: Eq + Hash>(
        &'a self,
        table: impl Fn(&'a Status) -> &'a Table<R>,
        key: impl Fn(&'a R) -> K,
    ) -> impl Iterator<Item = Change<'a, R>> {
        let old = self.before.map(&table);
        // Where rows were left out, one that is new here may have been there before.
        let complete = old.is_none_or(|old| old.of <= old.rows.len());
        let old: HashMap<K, &R> = old
            .into_iter()
            .flat_map(|old| &old.rows)
            .map(|row| (key(row), row))
            .collect();
        table(self.now).rows.iter().map(move |now| {
            let before = old.get(&key(now)).copied();
            Change {
                now,
                before,
                known: before.is_some() || complete,
                seconds: self.seconds,
            }
        })
    }
}

/// The place of a loss's total.
const TOTAL: usize = 3;

type Entries = fn(&Ledger) -> &[Entry];

/// The parts of the ledger that are losses of a kind.
const LEDGER: [(&str, Entries); 2] = [
    ("lost", |ledger| &ledger.lost),
    ("skipped", |ledger| &ledger.skipped),
];

/// A row, and the same row before; none is zero, where that is known.
struct Change<'a, R> {
    now: &'a R,
    before: Option<&'a R>,
    known: bool,
    seconds: Option<f64>,
}

impl<R> Change<'_, R> {
    fn rise(&self, of: impl Fn(&R) -> u64) -> Option<u64> {
        let before = self.before.map_or(0, &of);
        self.known.then(|| of(self.now).saturating_sub(before))
    }

    fn amount(&self, of: impl Fn(&R) -> u64) -> Cell {
        amount(self.rise(of), self.seconds)
    }

    fn share(&self, some: impl Fn(&R) -> u64, all: impl Fn(&R) -> u64) -> Cell {
        let parts = self.rise(some).zip(self.rise(all));
        Cell::Number(parts.and_then(|(some, all)| part(some, all)))
    }

    fn times(&self, bounds: &[f64], of: impl Fn(&R) -> &Durations) -> [Cell; 3] {
        let buckets = of(self.now).buckets.iter().enumerate();
        let rise: Vec<u64> = buckets
            .map(|(place, now)| {
                let old = self.before.and_then(|old| of(old).buckets.get(place));
                now.saturating_sub(old.copied().unwrap_or(0))
            })
            .collect();
        let most = bounds.last().copied().unwrap_or_default();
        [0.5, 0.95, 0.99].map(|q| {
            let value = quantile(bounds, &rise, q);
            Cell::Time(value.filter(|_| self.known), most)
        })
    }
}

fn amount(rise: Option<u64>, seconds: Option<f64>) -> Cell {
    match (rise, seconds) {
        (Some(rise), None) => Cell::Count(rise),
        (rise, seconds) => {
            let seconds = seconds.unwrap_or(1.0);
            Cell::Number(rise.map(|rise| float(rise) / seconds))
        }
    }
}

fn text(text: impl Into<String>) -> Cell {
    let text = text.into();
    // A label that does not apply is empty.
    Cell::Text(if text.is_empty() { "–".into() } else { text })
}

fn part(some: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| float(some) / float(all))
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn float(count: u64) -> f64 {
    count as f64
}
