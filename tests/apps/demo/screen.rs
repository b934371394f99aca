//! The live table: what a dashboard would show, read from `/metrics` like Prometheus does.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, stderr};
use std::net::SocketAddr;
use std::time::Duration;

use observer_tests::scrape::{Scrape, Selection};

use crate::table::{table, time};

const ROUTES: usize = 14;
const QUERIES: usize = 10;
const COMMANDS: usize = 6;

const HTTP: &str = "naytife_http_request_duration_seconds";
const SQL: &str = "naytife_database_query_duration_seconds";
const REDIS: &str = "naytife_redis_command_duration_seconds";

/// Draws over what it drew before, or line by line where nobody watches.
pub(crate) struct Screen {
    service: &'static str,
    address: SocketAddr,
    live: bool,
    before: Option<(Scrape, Duration)>,
    last: String,
}

/// A scrape, and the one before it for rates.
struct View<'a> {
    now: &'a Scrape,
    before: Option<&'a Scrape>,
    seconds: f64,
    service: &'a str,
}

impl Screen {
    pub(crate) fn new(service: &'static str, address: SocketAddr) -> Self {
        Self {
            service,
            address,
            live: stderr().is_terminal(),
            before: None,
            last: String::new(),
        }
    }

    /// Shows the state at `elapsed`.
    pub(crate) fn show(&mut self, scrape: &Scrape, sent: u64, elapsed: Duration, of: Duration) {
        let since = self.before.as_ref().map_or(Duration::ZERO, |(_, at)| *at);
        let view = View {
            now: scrape,
            before: self.before.as_ref().map(|(scrape, _)| scrape),
            seconds: elapsed.saturating_sub(since).as_secs_f64().max(0.001),
            service: self.service,
        };
        let mut text = format!(
            "{:>3} of {} s, {sent} requests answered, http://{}/metrics\n\n",
            elapsed.min(of).as_secs_f64().round(),
            of.as_secs(),
            self.address
        );
        for part in [
            view.routes(),
            view.shops(),
            view.queries(),
            view.redis(),
            view.losses(),
        ] {
            text.push_str(&part);
            text.push('\n');
        }
        if self.live {
            // From the top left corner, and nothing below.
            eprint!("\x1b[H\x1b[2J{text}");
        } else {
            eprintln!("{:>3.0} s: {sent} requests answered", elapsed.as_secs_f64());
        }
        self.last = text;
        self.before = Some((scrape.clone(), elapsed));
    }

    /// Leaves the last state standing.
    pub(crate) fn finish(&self) {
        if !self.live {
            eprintln!("\n{}", self.last);
        }
    }
}

impl<'a> View<'a> {
    fn routes(&self) -> String {
        let rows = self.rows(
            HTTP,
            ["method", "endpoint"],
            ROUTES,
            |[method, endpoint], all| {
                let narrow = |metric: &str| {
                    let samples = self.of(self.now, metric);
                    samples.with("method", method).with("endpoint", endpoint)
                };
                let errors = |class: char| {
                    let by_status = narrow(&format!("{HTTP}_count")).by(["status_code"]);
                    let sum: f64 = by_status
                        .iter()
                        .filter(|([status], _)| status.starts_with(class))
                        .map(|(_, count)| count)
                        .sum();
                    share(sum, all)
                };
                let buckets = narrow(&format!("{HTTP}_bucket"));
                let mut cells = quantiles(&buckets);
                cells.extend([errors('4'), errors('5')]);
                (format!("{method} {endpoint}"), cells)
            },
        );
        table(
            &["route", "per s", "p50", "p95", "p99", "4xx", "5xx"],
            &rows,
        )
    }

    fn shops(&self) -> String {
        let rows = self.rows(HTTP, ["shop_id"], 8, |[shop], _| {
            let name = if shop.is_empty() { "(no tenant)" } else { shop };
            let buckets = self.of(self.now, &format!("{HTTP}_bucket"));
            (name.to_owned(), quantiles(&buckets.with("shop_id", shop)))
        });
        table(&["shop", "per s", "p50", "p95", "p99"], &rows)
    }

    fn queries(&self) -> String {
        let rows = self.rows(SQL, ["query"], QUERIES, |[query], _| {
            let buckets = self.of(self.now, &format!("{SQL}_bucket"));
            (shorten(query), quantiles(&buckets.with("query", query)))
        });
        table(&["SQL", "per s", "p50", "p95", "p99"], &rows)
    }

    fn redis(&self) -> String {
        let rows = self.rows(REDIS, ["command"], COMMANDS, |[command], _| {
            let buckets = self.of(self.now, &format!("{REDIS}_bucket"));
            (
                command.clone(),
                quantiles(&buckets.with("command", command)),
            )
        });
        let lookups = self.of(self.now, "naytife_redis_lookups_total");
        let hits = lookups.clone().with("result", "hit").sum();
        format!(
            "{}  look-ups that hit: {}\n",
            table(&["Redis", "per s", "p50", "p95", "p99"], &rows),
            share(hits, lookups.sum())
        )
    }

    fn losses(&self) -> String {
        let ledger = self.now.select("observer_bytes_total");
        let of = |outcome| ledger.clone().with("outcome", outcome).sum();
        let mut text = format!(
            "  bytes seen {:.0} = decoded {:.0} + skipped {:.0} + lost {:.0} + pending {:.0}\n",
            of("seen"),
            of("decoded"),
            of("skipped"),
            of("lost"),
            self.now.select("observer_bytes_pending").sum(),
        );
        for ([stage, reason], bytes) in ledger.with("outcome", "lost").by(["stage", "reason"]) {
            if bytes > 0.0 {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "  lost in {stage}, {reason}: {bytes:.0}");
            }
        }
        text
    }

    /// The busiest label sets of a histogram, with their rates.
    fn rows<const N: usize>(
        &self,
        metric: &str,
        labels: [&str; N],
        most: usize,
        row: impl Fn(&[String; N], f64) -> (String, Vec<String>),
    ) -> Vec<Vec<String>> {
        let name = format!("{metric}_count");
        let before = self.before.map(|scrape| self.of(scrape, &name).by(labels));
        let mut counts: Vec<_> = self.of(self.now, &name).by(labels).into_iter().collect();
        counts.sort_by(|a, b| b.1.total_cmp(&a.1));
        let shown = counts.into_iter().take(most);
        shown
            .map(|(key, count)| {
                let old = before.as_ref().and_then(|old| old.get(&key)).copied();
                let rate = (count - old.unwrap_or(0.0)) / self.seconds;
                let (title, cells) = row(&key, count);
                [title, format!("{rate:.1}")]
                    .into_iter()
                    .chain(cells)
                    .collect()
            })
            .collect()
    }

    fn of(&self, scrape: &'a Scrape, metric: &str) -> Selection<'a> {
        scrape.select(metric).with("service", self.service)
    }
}

fn quantiles(buckets: &Selection<'_>) -> Vec<String> {
    [0.5, 0.95, 0.99].map(|q| time(buckets.quantile(q))).into()
}

fn share(part: f64, all: f64) -> String {
    if all > 0.0 {
        format!("{:.1} %", 100.0 * part / all)
    } else {
        "-".into()
    }
}

/// A fingerprint can be as long as its statement.
fn shorten(query: &str) -> String {
    match query.char_indices().nth(48) {
        Some((at, _)) => format!("{}…", query.get(..at).unwrap_or(query)),
        None => query.to_owned(),
    }
}
