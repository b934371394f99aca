//! The page at `/`: a status as a person reads it.
//!
//! It is whole without scripts; the one it has fetches it again every two seconds. Everything on it
//! is in the answer itself, so the policy allows nothing else: [`policy`] names the style and the
//! script by their hashes.
#![forbid(unsafe_code)]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::figures::{bytes, count, rate, span};
use super::status::{Entry, Status};

mod tables;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/refresh.js");

/// Where else to look.
const LINKS: &[(&str, &str)] = &[
    ("/metrics", "for Prometheus"),
    ("/api/v1/status", "this page as JSON"),
    ("/readyz", "whether it observes"),
    ("/healthz", "whether it lives"),
];

/// The `Content-Security-Policy` of the page.
pub(super) fn policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
        format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        )
    });
    &POLICY
}

/// The whole page.
pub(super) fn page(status: &Status) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "observer" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "observer" }
                    span class="quiet" { (status.version) }
                    button id="pause" hidden { "Pause" }
                    span id="stale" class="bad" role="status" {}
                    nav aria-label="Other views" {
                        @for (path, what) in LINKS {
                            a href=(path) title=(what) { (path) }
                        }
                    }
                }
                main {
                    (state(status))
                    (now(status))
                    (losses(status))
                    (platform(status))
                    (attached(status))
                    (agent(status))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn state(status: &Status) -> Markup {
    html! {
        p {
            @match &status.not_ready {
                None => span class="good" { "● Observing" },
                Some(why) => span class="bad" { "○ Not ready: " (why) },
            }
            " since " (span(status.uptime_seconds)) ". "
            span class="quiet" { "What happened before was not seen." }
        }
    }
}

fn now(status: &Status) -> Markup {
    let rates = &status.rates;
    let lost = rates.lost_bytes > 0.0;
    let tiles = [
        ("HTTP / s", rate(rates.requests), false),
        ("SQL / s", rate(rates.executions), false),
        ("Redis / s", rate(rates.commands), false),
        ("seen / s", bytes(rates.bytes), false),
        ("lost / s", bytes(rates.lost_bytes), lost),
        ("records / s", rate(rates.records), false),
        ("connections", count(status.connections), false),
        ("lag", tables::seconds(status.lag_seconds), false),
    ];
    html! {
        section aria-label="Now" {
            dl class="now" {
                @for (what, figure, bad) in tiles {
                    div { dt { (what) } dd class=[bad.then_some("bad")] { (figure) } }
                }
            }
            p class="quiet" {
                @if rates.seconds > 0.0 {
                    "Rates over the last " (format!("{:.0}", rates.seconds)) " s; tables since the start."
                } @else {
                    "Rates come with the second sample; tables since the start."
                }
            }
        }
    }
}

fn platform(status: &Status) -> Markup {
    let shown = &status.tables;
    html! {
        (tables::workloads(&shown.workloads))
        (tables::routes(&shown.routes, &shown.bounds.requests))
        (tables::shops(&shown.shops, &shown.bounds.requests))
        (tables::queries(&shown.queries, &shown.bounds.stores))
        (tables::redis(&shown.redis, &shown.bounds.stores))
        (tables::connections(&shown.connections, &shown.bounds.round_trips))
    }
}

fn losses(status: &Status) -> Markup {
    let ledger = &status.ledger;
    let sum = |entries: &[Entry]| entries.iter().map(|entry| entry.bytes).sum::<u64>();
    let (skipped, lost) = (sum(&ledger.skipped), sum(&ledger.lost));
    html! {
        section {
            h2 { "What was lost" }
            p {
                (tables::size(ledger.seen)) " seen = " (tables::size(ledger.decoded)) " decoded + "
                (tables::size(skipped)) " skipped + "
                span class=[(lost > 0).then_some("bad")] { (tables::size(lost)) " lost" }
                " + " (tables::size(ledger.pending.unsigned_abs())) " pending"
            }
            @if skipped + lost > 0 {
                (tables::ledger(ledger))
            }
        }
    }
}

fn attached(status: &Status) -> Markup {
    html! {
        section {
            h2 { "What is attached, and to whom" }
            @if status.waits {
                p { "No workload that is selected is here; the agent waits for one." }
            } @else if status.selection.is_empty() {
                p { "Nothing is selected yet." }
            }
            ul {
                @for selected in &status.selection {
                    li {
                        code { (selected.cgroup) }
                        @if !selected.present {
                            " " span class="bad" { "is not there" }
                            " and is observed again when it is made again"
                        }
                    }
                }
            }
            (tables::probes(&status.probes))
        }
    }
}

fn agent(status: &Status) -> Markup {
    let memory: u64 = status.maps.iter().map(|map| map.bytes).sum();
    let series = &status.series;
    html! {
        section {
            h2 { "The agent itself" }
            ul {
                @for (number, ring) in status.rings.iter().enumerate() {
                    li {
                        "Ring " (number) ": "
                        meter min="0" max=(ring.size_bytes) value=(ring.used_bytes) {}
                        " " (tables::size(ring.used_bytes)) " of " (tables::size(ring.size_bytes))
                        " unread"
                    }
                }
                li { "Kernel memory of all maps at their bounds: " (tables::size(memory)) }
                li {
                    "Lines on /metrics: " (series.lines) " of " (series.lines_limit)
                    ", label values: " (series.label_values)
                    @if series.label_values_refused > 0 {
                        ", " span class="bad" { (count(series.label_values_refused)) " refused" }
                    }
                }
                @for metric in series.metrics.iter().filter(|metric| metric.overflow > 0) {
                    li class="bad" {
                        (metric.name) ": " (count(metric.overflow)) " measurements under _other, "
                        (metric.lines) " of " (metric.lines_limit) " lines are used up"
                    }
                }
            }
            div class="pair" {
                (tables::records(&status.records))
                (tables::errors(&status.errors, status.start_time_seconds + status.uptime_seconds))
            }
            (tables::machine(&status.machine))
        }
    }
}

#[cfg(test)]
mod tests;
