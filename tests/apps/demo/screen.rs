//! The live picture: what a dashboard would show, read from `/metrics` like Prometheus does.

use std::io::{IsTerminal as _, stderr};
use std::net::SocketAddr;
use std::time::Duration;

use observer_tests::scrape::{Scrape, Selection};
use rustix::termios::tcgetwinsize;

use crate::figures::{rate, share, time};
use crate::layout::{Part, Size, picture};

const HTTP: &str = "naytife_http_request_duration_seconds";
const SQL: &str = "naytife_database_query_duration_seconds";
const REDIS: &str = "naytife_redis_command_duration_seconds";

/// To the terminal's other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// A terminal that does not tell its size.
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};

/// A file or a pipe.
const NONE: Size = Size {
    columns: 160,
    rows: usize::MAX,
};

/// Draws on the terminal's other screen, so that what was there comes back; where nobody watches,
/// a line a second.
pub(crate) struct Screen {
    service: &'static str,
    address: SocketAddr,
    live: bool,
    before: Option<(Scrape, Duration)>,
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
        let live = stderr().is_terminal();
        if live {
            eprint!("{ENTER}");
        }
        Self {
            service,
            address,
            live,
            before: None,
        }
    }

    /// Shows the state at `elapsed`, with the rates since the last time.
    pub(crate) fn show(&mut self, scrape: Scrape, sent: u64, elapsed: Duration, of: Duration) {
        let seconds = elapsed.min(of).as_secs_f64();
        if self.live {
            let title = format!(
                "{seconds:.0} of {} s, {sent} requests answered, http://{}/metrics",
                of.as_secs(),
                self.address
            );
            draw(&title, &self.view(&scrape, elapsed));
        } else {
            eprintln!("{seconds:>3.0} s: {sent} requests answered");
        }
        self.before = Some((scrape, elapsed));
    }

    /// Goes back to where the user was, and leaves there all there is to show, with the rates over
    /// the whole time.
    pub(crate) fn finish(mut self, scrape: &Scrape, elapsed: Duration) {
        self.leave();
        self.before = None;
        let view = self.view(scrape, elapsed);
        let size = Size {
            rows: usize::MAX,
            ..size()
        };
        let title = format!("Over {:.0} s", elapsed.as_secs_f64());
        for line in picture(&title, &view.parts(), &view.losses(), size) {
            eprintln!("{}", line.plain());
        }
    }

    fn view<'a>(&'a self, now: &'a Scrape, elapsed: Duration) -> View<'a> {
        let since = self.before.as_ref().map_or(Duration::ZERO, |(_, at)| *at);
        View {
            now,
            before: self.before.as_ref().map(|(scrape, _)| scrape),
            seconds: elapsed.saturating_sub(since).as_secs_f64().max(0.001),
            service: self.service,
        }
    }

    fn leave(&mut self) {
        if self.live {
            self.live = false;
            eprint!("{LEAVE}");
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

/// From the top left corner, each line over what it replaces, nothing below.
fn draw(title: &str, view: &View<'_>) {
    let lines = picture(title, &view.parts(), &view.losses(), size());
    let lines: Vec<String> = lines.iter().map(|line| line.styled() + "\x1b[K").collect();
    eprint!("\x1b[H{}\x1b[J", lines.join("\r\n"));
}

/// The terminal's, asked each time: it may be resized.
pub(crate) fn size() -> Size {
    match tcgetwinsize(stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size {
            columns: size.ws_col.into(),
            rows: size.ws_row.into(),
        },
        Ok(_) => USUAL,
        Err(_) => NONE,
    }
}

// === impl View ===

impl<'a> View<'a> {
    fn parts(&self) -> [Part; 4] {
        [self.routes(), self.queries(), self.redis(), self.shops()]
    }

    fn routes(&self) -> Part {
        let rows = self.rows(HTTP, ["method", "endpoint"], |[method, endpoint], all| {
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
        });
        Part::new("HTTP", &["per s", "p50", "p95", "p99", "4xx", "5xx"], rows).weighing(3)
    }

    fn shops(&self) -> Part {
        let rows = self.rows(HTTP, ["shop_id"], |[shop], _| {
            let name = match shop.as_str() {
                "" => "no tenant".to_owned(),
                "unknown" => "unknown".to_owned(),
                id => format!("shop {id}"),
            };
            let buckets = self.of(self.now, &format!("{HTTP}_bucket"));
            (name, quantiles(&buckets.with("shop_id", shop)))
        });
        Part::new("Shops", &["per s", "p50", "p95", "p99"], rows)
    }

    fn queries(&self) -> Part {
        let rows = self.rows(SQL, ["query"], |[query], _| {
            let buckets = self.of(self.now, &format!("{SQL}_bucket"));
            let rows = self.of(self.now, "naytife_database_rows_total");
            let mut cells = quantiles(&buckets.with("query", query));
            cells.push(format!("{:.0}", rows.with("query", query).sum()));
            (query.clone(), cells)
        });
        Part::new("SQL", &["per s", "p50", "p95", "p99", "rows"], rows).weighing(2)
    }

    fn redis(&self) -> Part {
        let rows = self.rows(REDIS, ["command"], |[command], _| {
            let buckets = self.of(self.now, &format!("{REDIS}_bucket"));
            (
                command.clone(),
                quantiles(&buckets.with("command", command)),
            )
        });
        Part::new("Redis", &["per s", "p50", "p95", "p99"], rows)
    }

    /// What the store missed, what failed, and what the agent did not see.
    fn losses(&self) -> Vec<String> {
        let lookups = self.of(self.now, "naytife_redis_lookups_total");
        let hits = lookups.clone().with("result", "hit").sum();
        let errors = self.of(self.now, "naytife_database_errors_total").sum();
        let graphql = self.of(self.now, "naytife_graphql_errors_total").sum();
        let ledger = self.now.select("observer_bytes_total");
        let of = |outcome| ledger.clone().with("outcome", outcome).sum();
        let mut lines = vec![
            format!(
                "{} of Redis look-ups hit, {errors:.0} SQL errors, {graphql:.0} GraphQL errors",
                share(hits, lookups.sum())
            ),
            format!(
                "bytes: {:.0} seen = {:.0} decoded + {:.0} skipped + {:.0} lost + {:.0} pending",
                of("seen"),
                of("decoded"),
                of("skipped"),
                of("lost"),
                self.now.select("observer_bytes_pending").sum(),
            ),
        ];
        let lost = ledger.with("outcome", "lost").by(["stage", "reason"]);
        lines.extend(
            lost.into_iter()
                .filter(|(_, bytes)| *bytes > 0.0)
                .map(|([stage, reason], bytes)| format!("lost in {stage}, {reason}: {bytes:.0}")),
        );
        lines
    }

    /// The label sets of a histogram, the busiest first, with their rates.
    fn rows<const N: usize>(
        &self,
        metric: &str,
        labels: [&str; N],
        row: impl Fn(&[String; N], f64) -> (String, Vec<String>),
    ) -> Vec<Vec<String>> {
        let name = format!("{metric}_count");
        let before = self.before.map(|scrape| self.of(scrape, &name).by(labels));
        let mut counts: Vec<_> = self.of(self.now, &name).by(labels).into_iter().collect();
        counts.sort_by(|a, b| b.1.total_cmp(&a.1));
        counts
            .into_iter()
            .map(|(key, count)| {
                let old = before.as_ref().and_then(|old| old.get(&key)).copied();
                let since = (count - old.unwrap_or(0.0)) / self.seconds;
                let (title, cells) = row(&key, count);
                [title, rate(since)].into_iter().chain(cells).collect()
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
