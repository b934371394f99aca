//! The tables: series of one or several metrics, joined where the labels of a row agree.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{Bounds, Command, Durations, Link, Query, Route, Shop, Table, Tables, Workload};
use crate::export::catalog::{Metric, REQUEST_SECONDS, ROUND_TRIP_SECONDS, STORE_SECONDS};
use crate::export::encode::label;
use crate::export::registry::Registry;
use crate::export::series::{Key, Series};
use crate::export::symbols::Symbol;

/// All of them, each with at most so many rows.
pub(super) fn tables(registry: &Registry, rows: usize) -> Tables {
    Tables {
        bounds: Bounds {
            requests: REQUEST_SECONDS.to_vec(),
            stores: STORE_SECONDS.to_vec(),
            round_trips: ROUND_TRIP_SECONDS.to_vec(),
        },
        workloads: workloads(registry, rows),
        routes: routes(registry, rows),
        shops: shops(registry, rows),
        queries: queries(registry, rows),
        redis: redis(registry, rows),
        connections: connections(registry, rows),
    }
}

fn workloads(registry: &Registry, rows: usize) -> Table<Workload> {
    let mut groups = Groups::new(registry, ["service"]);
    groups.add(Metric::HttpRequestDuration, |row: &mut Workload, series| {
        row.requests += series.handle.count();
    });
    groups.add(Metric::DatabaseQueryDuration, |row, series| {
        row.executions += series.handle.count();
    });
    groups.add(Metric::DatabaseExecutionsUntimed, |row, series| {
        row.executions += series.handle.count();
    });
    groups.add(Metric::DatabaseErrors, |row, series| {
        row.database_errors += series.handle.count();
    });
    groups.add(Metric::RedisCommands, |row, series| {
        row.commands += series.handle.count();
    });
    groups.add(Metric::RedisLookups, |row, series| {
        let count = series.handle.count();
        match &*label(&series.labels, "result") {
            "hit" => row.hits += count,
            _ => row.misses += count,
        }
    });
    // Who only opens and accepts connections was observed as well.
    groups.add(Metric::TcpConnectionsOpened, |_, _| {});
    groups.add(Metric::TcpConnectionsAccepted, |_, _| {});
    groups.table(
        rows,
        |row| row.requests + row.executions + row.commands,
        |[service], row| Workload { service, ..row },
    )
}

/// What HTTP gives a row of routes or shops.
#[derive(Default)]
struct Http {
    requests: u64,
    client_errors: u64,
    server_errors: u64,
    executions: u64,
    buckets: Vec<u64>,
}

impl Http {
    fn add(&mut self, series: &Series) {
        let count = series.handle.add_buckets(&mut self.buckets);
        self.requests += count;
        match label(&series.labels, "status_code").as_bytes().first() {
            Some(b'4') => self.client_errors += count,
            Some(b'5') => self.server_errors += count,
            _ => {}
        }
    }
}

fn routes(registry: &Registry, rows: usize) -> Table<Route> {
    let mut groups = Groups::new(registry, ["service", "method", "endpoint"]);
    groups.add(Metric::HttpRequestDuration, Http::add);
    groups.table(
        rows,
        |row| row.requests,
        |[service, method, endpoint], row| Route {
            service,
            method,
            endpoint,
            requests: row.requests,
            client_errors: row.client_errors,
            server_errors: row.server_errors,
            duration: Durations::new(REQUEST_SECONDS, row.buckets),
        },
    )
}

fn shops(registry: &Registry, rows: usize) -> Table<Shop> {
    let mut groups = Groups::new(registry, ["shop_id"]);
    groups.add(Metric::HttpRequestDuration, Http::add);
    groups.add(Metric::DatabaseShopQueryDuration, |row, series| {
        row.executions += series.handle.count();
    });
    groups.table(
        rows,
        |row| row.requests,
        |[shop_id], row| Shop {
            shop_id,
            requests: row.requests,
            client_errors: row.client_errors,
            server_errors: row.server_errors,
            executions: row.executions,
            duration: Durations::new(REQUEST_SECONDS, row.buckets),
        },
    )
}

fn queries(registry: &Registry, rows: usize) -> Table<Query> {
    let labels = ["service", "database", "query", "operation"];
    let mut groups = Groups::new(registry, labels);
    groups.add(
        Metric::DatabaseQueryDuration,
        |row: &mut (Query, Vec<u64>), series| {
            row.0.executions += series.handle.add_buckets(&mut row.1);
        },
    );
    groups.add(Metric::DatabaseExecutionsUntimed, |row, series| {
        row.0.executions += series.handle.count();
    });
    groups.add(Metric::DatabaseRows, |row, series| {
        row.0.rows += series.handle.count();
    });
    groups.table(
        rows,
        |row| row.0.executions,
        |[service, database, query, operation], (row, buckets)| Query {
            service,
            database,
            query,
            operation,
            duration: Durations::new(STORE_SECONDS, buckets),
            ..row
        },
    )
}

fn redis(registry: &Registry, rows: usize) -> Table<Command> {
    let mut groups = Groups::new(registry, ["service", "command"]);
    groups.add(
        Metric::RedisCommandDuration,
        |row: &mut (Command, Vec<u64>), series| {
            series.handle.add_buckets(&mut row.1);
        },
    );
    groups.add(Metric::RedisCommands, |row, series| {
        let count = series.handle.count();
        row.0.commands += count;
        if !matches!(
            &*label(&series.labels, "outcome"),
            "ok" | "queued" | "unknown"
        ) {
            row.0.errors += count;
        }
    });
    groups.table(
        rows,
        |row| row.0.commands,
        |[service, command], (row, buckets)| Command {
            service,
            command,
            duration: Durations::new(STORE_SECONDS, buckets),
            ..row
        },
    )
}

fn connections(registry: &Registry, rows: usize) -> Table<Link> {
    let mut groups = Groups::new(registry, ["service", "peer"]);
    groups.add(
        Metric::TcpConnectionsOpened,
        |row: &mut (Link, Vec<u64>), series| row.0.opened += series.handle.count(),
    );
    groups.add(Metric::TcpConnectionsAccepted, |row, series| {
        row.0.accepted += series.handle.count();
    });
    groups.add(Metric::TcpConnectionsRefused, |row, series| {
        row.0.refused += series.handle.count();
    });
    groups.add(Metric::TcpConnectionsReset, |row, series| {
        row.0.reset += series.handle.count();
    });
    groups.add(Metric::TcpSegmentsRetransmitted, |row, series| {
        row.0.retransmitted += series.handle.count();
    });
    groups.add(Metric::TcpRoundTrip, |row, series| {
        series.handle.add_buckets(&mut row.1);
    });
    groups.table(
        rows,
        |row| row.0.opened + row.0.accepted + row.0.refused,
        |[service, peer], (row, buckets)| Link {
            service,
            peer,
            round_trip: Durations::new(ROUND_TRIP_SECONDS, buckets),
            ..row
        },
    )
}

/// Sums by the values of some labels.
struct Groups<'a, T, const N: usize> {
    registry: &'a Registry,
    labels: [&'static str; N],
    /// With one of the series, for the text of its labels.
    sums: HashMap<Key, (Arc<Series>, T), foldhash::fast::RandomState>,
}

impl<'a, T: Default, const N: usize> Groups<'a, T, N> {
    fn new(registry: &'a Registry, labels: [&'static str; N]) -> Self {
        Self {
            registry,
            labels,
            sums: HashMap::default(),
        }
    }

    /// Adds each series of a metric, which has all of the labels, to its row.
    fn add(&mut self, metric: Metric, add: impl Fn(&mut T, &Series)) {
        let Some(family) = self.registry.family(metric) else {
            return;
        };
        let known = family.row.labels;
        let positions = self
            .labels
            .map(|label| known.iter().position(|known| *known == label));
        debug_assert!(positions.iter().all(Option::is_some), "{}", family.row.name);
        for series in family.snapshot() {
            let values: SmallVec<[Symbol; 6]> = positions
                .iter()
                .flatten()
                .map(|position| series.key.get(*position))
                .collect();
            let (_, sum) = self
                .sums
                .entry(Key::new(&values))
                .or_insert_with(|| (Arc::clone(&series), T::default()));
            add(sum, &series);
        }
    }

    /// The rows with the largest counts.
    fn table<R>(
        self,
        rows: usize,
        count: impl Fn(&T) -> u64,
        row: impl Fn([String; N], T) -> R,
    ) -> Table<R> {
        let labels = self.labels;
        let mut sums: Vec<([String; N], T)> = self
            .sums
            .into_values()
            .map(|(series, sum)| {
                let names = labels.map(|name| label(&series.labels, name).into_owned());
                (names, sum)
            })
            .collect();
        let of = sums.len();
        sums.sort_by(|a, b| (Reverse(count(&a.1)), &a.0).cmp(&(Reverse(count(&b.1)), &b.0)));
        sums.truncate(rows);
        Table {
            of,
            rows: sums
                .into_iter()
                .map(|(names, sum)| row(names, sum))
                .collect(),
        }
    }
}
