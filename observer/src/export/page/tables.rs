//! The tables of the page.

use maud::{Markup, Render, html};

use crate::export::figures;
use crate::export::status::quantile::quantile;
use crate::export::status::{
    Command, Durations, Fact, Ledger, Link, Probe, Query, Route, Shop, Stage, Table, Trouble,
    Workload,
};

pub(super) fn workloads(workloads: &Table<Workload>) -> Markup {
    let rows = workloads.rows.iter().map(|row| {
        vec![
            name(&row.service),
            figure(row.requests),
            figure(row.executions),
            bad(row.database_errors),
            figure(row.commands),
            Cell::Figure(figures::share(
                float(row.hits),
                float(row.hits + row.misses),
            )),
        ]
    });
    table(
        "Workloads",
        Some(workloads.of),
        &[
            "workload",
            "HTTP requests",
            "SQL executions",
            "SQL errors",
            "Redis commands",
            "look-ups that hit",
        ],
        rows,
    )
}

pub(super) fn routes(routes: &Table<Route>, bounds: &[f64]) -> Markup {
    let rows = routes.rows.iter().map(|row| {
        let errors = [row.client_errors, row.server_errors];
        let mut cells = vec![
            Cell::Name(format!("{} {}", row.method, shown(&row.endpoint))),
            text(&row.service),
            figure(row.requests),
        ];
        cells.extend(shares(errors, row.requests));
        cells.extend(durations(bounds, &row.duration));
        cells
    });
    table(
        "Routes",
        Some(routes.of),
        &[
            "route", "workload", "requests", "4xx", "5xx", "p50", "p95", "p99",
        ],
        rows,
    )
}

pub(super) fn shops(shops: &Table<Shop>, bounds: &[f64]) -> Markup {
    let rows = shops.rows.iter().map(|row| {
        let errors = [row.client_errors, row.server_errors];
        let mut cells = vec![
            Cell::Name(match row.shop_id.as_str() {
                "" => "no tenant".to_owned(),
                id => id.to_owned(),
            }),
            figure(row.requests),
            figure(row.executions),
        ];
        cells.extend(shares(errors, row.requests));
        cells.extend(durations(bounds, &row.duration));
        cells
    });
    table(
        "Shops",
        Some(shops.of),
        &["shop", "requests", "SQL", "4xx", "5xx", "p50", "p95", "p99"],
        rows,
    )
}

pub(super) fn queries(queries: &Table<Query>, bounds: &[f64]) -> Markup {
    let rows = queries.rows.iter().map(|row| {
        let mut cells = vec![
            name(&row.query),
            text(&row.operation),
            text(&row.database),
            text(&row.service),
            figure(row.executions),
            figure(row.rows),
        ];
        cells.extend(durations(bounds, &row.duration));
        cells
    });
    table(
        "SQL",
        Some(queries.of),
        &[
            "query",
            "verb",
            "database",
            "workload",
            "executions",
            "rows",
            "p50",
            "p95",
            "p99",
        ],
        rows,
    )
}

pub(super) fn redis(commands: &Table<Command>, bounds: &[f64]) -> Markup {
    let rows = commands.rows.iter().map(|row| {
        let mut cells = vec![
            name(&row.command),
            text(&row.service),
            figure(row.commands),
            bad(row.errors),
        ];
        cells.extend(durations(bounds, &row.duration));
        cells
    });
    table(
        "Redis",
        Some(commands.of),
        &[
            "command", "workload", "commands", "errors", "p50", "p95", "p99",
        ],
        rows,
    )
}

pub(super) fn connections(links: &Table<Link>, bounds: &[f64]) -> Markup {
    let rows = links.rows.iter().map(|row| {
        let mut cells = vec![
            Cell::Name(format!("{} \u{2013} {}", row.service, row.peer)),
            figure(row.opened),
            figure(row.accepted),
            bad(row.refused),
            bad(row.reset),
            figure(row.retransmitted),
        ];
        cells.extend(durations(bounds, &row.round_trip).into_iter().take(2));
        cells
    });
    table(
        "Connections",
        Some(links.of),
        &[
            "workload \u{2013} peer",
            "opened",
            "accepted",
            "refused",
            "reset",
            "sent again",
            "round trip p50",
            "p95",
        ],
        rows,
    )
}

/// The lines of the ledger that are not zero, losses first.
pub(super) fn ledger(ledger: &Ledger) -> Markup {
    let lost = ledger.lost.iter().map(|entry| ("lost", entry));
    let skipped = ledger.skipped.iter().map(|entry| ("skipped", entry));
    let rows = lost
        .chain(skipped)
        .filter(|(_, entry)| entry.bytes > 0)
        .map(|(outcome, entry)| {
            let (bytes, seen) = (float(entry.bytes), float(ledger.seen));
            let amount = figures::bytes(bytes);
            vec![
                Cell::Name(format!("{outcome}: {}", entry.reason)),
                text(&entry.stage),
                match outcome {
                    "lost" => Cell::Bad(amount),
                    _ => Cell::Figure(amount),
                },
                Cell::Figure(figures::share(bytes, seen)),
            ]
        });
    table(
        "Bytes that were not decoded",
        None,
        &["why", "where", "bytes", "of those seen"],
        rows,
    )
}

pub(super) fn probes(probes: &[Probe]) -> Markup {
    let rows = probes.iter().map(|probe| {
        let need = if probe.required {
            "required"
        } else {
            "optional"
        };
        vec![
            name(&probe.name),
            text(need),
            match &probe.missing {
                None if probe.attached => text("attached"),
                None => Cell::Alarm("not attached".to_owned()),
                Some(why) => Cell::Alarm(format!("missing: {why}")),
            },
            text(&probe.without),
        ]
    });
    table(
        "Kernel programs",
        None,
        &["program", "need", "state", "what it shows"],
        rows,
    )
}

pub(super) fn records(stages: &[Stage]) -> Markup {
    let rows = stages
        .iter()
        .map(|stage| vec![name(&stage.stage), figure(stage.count)]);
    table("What each stage took", None, &["stage", "count"], rows)
}

/// Those that happened.
pub(super) fn errors(errors: &[Trouble], now: f64) -> Markup {
    let rows = errors
        .iter()
        .filter(|trouble| trouble.count > 0)
        .map(|trouble| {
            let last = trouble.last_seconds.map(|last| figures::span(now - last));
            vec![
                Cell::Name(format!("{} {}", trouble.stage, trouble.kind)),
                bad(trouble.count),
                Cell::Figure(last.map_or_else(|| "now".to_owned(), |ago| ago + " ago")),
            ]
        });
    table(
        "Trouble it recovered from",
        None,
        &["what", "count", "last"],
        rows,
    )
}

pub(super) fn machine(facts: &[Fact]) -> Markup {
    let rows = facts.iter().map(|fact| {
        vec![
            name(&fact.name),
            if fact.met {
                text(&fact.found)
            } else {
                Cell::Alarm(fact.found.clone())
            },
        ]
    });
    table(
        "The machine, as found at the start",
        None,
        &["needed", "found"],
        rows,
    )
}

/// Seconds of no histogram.
pub(super) fn seconds(seconds: f64) -> String {
    figures::time(Some(seconds), f64::INFINITY)
}

pub(super) fn size(bytes: u64) -> String {
    figures::bytes(float(bytes))
}

fn name(text: &str) -> Cell {
    Cell::Name(shown(text).to_owned())
}

fn text(text: &str) -> Cell {
    Cell::Text(shown(text).to_owned())
}

/// A label that does not apply is empty.
fn shown(label: &str) -> &str {
    if label.is_empty() { "\u{2013}" } else { label }
}

fn figure(count: u64) -> Cell {
    Cell::Figure(figures::count(count))
}

fn bad(count: u64) -> Cell {
    match count {
        0 => Cell::Figure("-".to_owned()),
        count => Cell::Bad(figures::count(count)),
    }
}

/// 4xx, which are the client's, and 5xx, which are ours.
fn shares([client, server]: [u64; 2], all: u64) -> [Cell; 2] {
    let share = |part| figures::share(float(part), float(all));
    let server_share = share(server);
    [
        Cell::Figure(share(client)),
        if server > 0 {
            Cell::Bad(server_share)
        } else {
            Cell::Figure(server_share)
        },
    ]
}

fn durations(bounds: &[f64], durations: &Durations) -> [Cell; 3] {
    let most = bounds.last().copied().unwrap_or_default();
    [0.5, 0.95, 0.99].map(|q| {
        let value = quantile(bounds, &durations.buckets, q);
        Cell::Figure(figures::time(value, most))
    })
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn float(count: u64) -> f64 {
    count as f64
}

/// A cell of a row.
enum Cell {
    /// Heads the row.
    Name(String),
    Text(String),
    Figure(String),
    /// Wants to be looked at.
    Bad(String),
    /// The same of a text.
    Alarm(String),
}

/// A table with a caption, scrollable by itself where it is too wide.
fn table(
    caption: &str,
    cut: Option<usize>,
    heads: &[&str],
    rows: impl Iterator<Item = Vec<Cell>>,
) -> Markup {
    let rows: Vec<Vec<Cell>> = rows.collect();
    let shown = rows.len();
    let figures = |place: usize| {
        let row = rows.first().and_then(|row| row.get(place));
        matches!(row, Some(Cell::Figure(_) | Cell::Bad(_)))
    };
    html! {
        section {
            div class="wide" tabindex="0" role="region" aria-label=(caption) {
                table {
                    caption {
                        (caption)
                        @if let Some(of) = cut.filter(|of| *of > shown) {
                            " " span { "the first " (shown) " of " (of) }
                        }
                    }
                    thead {
                        tr {
                            @for (place, head) in heads.iter().enumerate() {
                                th scope="col" class=[figures(place).then_some("figure")] { (head) }
                            }
                        }
                    }
                    tbody {
                        @if rows.is_empty() {
                            tr { td colspan=(heads.len()) class="quiet" { "nothing yet" } }
                        }
                        @for row in &rows {
                            tr { @for cell in row { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

impl Render for Cell {
    fn render(&self) -> Markup {
        match self {
            Self::Name(text) => html! { th scope="row" { (text) } },
            Self::Text(text) => html! { td { (text) } },
            Self::Figure(text) => html! { td class="figure" { (text) } },
            Self::Bad(text) => html! { td class="figure bad" { (text) } },
            Self::Alarm(text) => html! { td class="bad" { (text) } },
        }
    }
}
