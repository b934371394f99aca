//! `docs/metrics.md`, from the two tables.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use super::catalog::{AGENT, CATALOG, Kind, Row};

/// Names that keep to their origin rather than to the conventions; `promtool check metrics` may
/// complain about these and about nothing else.
pub const COMPATIBILITY_NAMES: &[(&str, &str)] = &[
    ("node_", "as the node exporter names them"),
    ("container_", "as cAdvisor names them"),
    (
        "naytife_shops_active_total",
        "a gauge that the monitoring plan named",
    ),
];

/// What a label means and what bounds its values; every label of both tables has a row.
pub const LABELS: &[(&str, &str)] = &[
    ("by", "Who reset the connection: `peer` or `us`."),
    ("client", "As `service`, or as `peer`: who asks."),
    (
        "command",
        "The Redis server's own name of the command in lower case; unknown verbs are `_other`.",
    ),
    (
        "currency",
        "The currency that the shop's row names, in lower case; `unknown` until one was seen.",
    ),
    ("database", "From the startup message, else `unknown`."),
    (
        "endpoint",
        "The route's template from the rules; unmatched paths fold into a bounded template, then `_other`; one that answers 404 is `_other` at once. GraphQL: route, space, operation.",
    ),
    ("event", "A row of the programs' table of counters."),
    ("kind", "A closed set per stage."),
    ("layout", "The version of the record layout."),
    ("map", "A map of the programs."),
    ("method", "The HTTP method; unknown ones are `_other`."),
    ("metric", "A row of the first table below."),
    ("mode", "`user` or `system`."),
    (
        "operation",
        "SQL: the statement's verb. GraphQL: the operation's name.",
    ),
    (
        "outcome",
        "A closed set per metric; Redis errors: the reply's first word.",
    ),
    (
        "peer",
        "Who is at the other end: a workload, a service or node of Kubernetes, an external host by the name its client calls it; else `local`, `external` or `unknown`, never an address.",
    ),
    ("probe", "A row of the table of probes."),
    (
        "product_id",
        "The product's number; `_other` for those that have no series of their own.",
    ),
    ("protocol", "`http`, `postgresql` or `redis`."),
    (
        "provider",
        "The payment method that the order's row or the request's body names, in lower case; for a webhook, its route's.",
    ),
    (
        "query",
        "The statement's name where it has one, else a fingerprint.",
    ),
    ("reason", "A closed set per metric."),
    (
        "resource",
        "What is asked for of the Kubernetes API: `pods`, `pods_elsewhere`, `services`, `endpointslices`.",
    ),
    ("required", "`true` or `false`."),
    ("result", "`hit` or `miss`."),
    ("ring", "The ring's number."),
    (
        "rule",
        "A rule that says what a statement or a request means for the business.",
    ),
    ("server", "As `peer`, or as `service`: who is asked."),
    ("service", "The workload at whose end it was taken."),
    (
        "shop_id",
        "The shop, once a row from the database has named it; `unknown` before, empty where there is no tenant.",
    ),
    ("sqlstate", "Five characters from the server."),
    ("stage", "A stage of the pipeline."),
    (
        "status",
        "As the database stores it, in lower case; `unknown` where the one before it was not seen. Of requests: `success` or `failure`.",
    ),
    ("status_code", "Of the final response, three digits."),
    (
        "step",
        "`checkout`, `payment`, `intent`, `confirm`, `order` or `paid`.",
    ),
    (
        "type",
        "The kind of movement that the row names, in lower case.",
    ),
    ("version", "The agent's version."),
    (
        "when",
        "When the programs were attached to a cgroup: see `observer_selection_attached_total`.",
    ),
];

/// The whole page.
#[must_use]
pub fn metrics() -> String {
    let mut page = String::from(HEAD);
    page.push_str("## The platform\n\n");
    table(&mut page, CATALOG);
    page.push_str("\n## The agent itself\n\n");
    table(&mut page, AGENT);
    page.push_str("\n## Labels\n\n| label | values |\n|---|---|\n");
    for (label, values) in LABELS {
        line(&mut page, format_args!("| `{label}` | {values} |"));
    }
    page.push_str("\n## Compatibility names\n\n");
    page.push_str("`promtool check metrics` has nothing to say except about these:\n\n");
    for (name, why) in COMPATIBILITY_NAMES {
        line(&mut page, format_args!("- `{name}`: {why}"));
    }
    page
}

const HEAD: &str = "\
<!-- Written by `observer metrics`; a test fails when it is stale. -->
# Metrics

Served on `/metrics` in Prometheus' text format. A *line* is an exposed line: a label set of a
counter or gauge is one, of a histogram its bounds and three more. Lines are bounded per metric and
in total (`limits.lines_per_metric`, `limits.lines`); a measurement without room for its label set is
counted exactly once, under `_other`, and in `observer_series_overflow_total`. Series of a workload
that is gone are removed after `limits.stale`.

The ledger closes at every scrape, in TCP payload bytes, each position of a direction once:

```text
sum(observer_bytes_total{outcome=\"seen\"})
  = sum(observer_bytes_total{outcome!=\"seen\"}) + observer_bytes_pending
```

";

fn table<M>(page: &mut String, rows: &[Row<M>]) {
    let mut rows: Vec<&Row<M>> = rows.iter().collect();
    rows.sort_by_key(|row| row.name);
    page.push_str("| metric | type | labels | what it says | from |\n|---|---|---|---|---|\n");
    for row in rows {
        let labels: Vec<String> = row.labels.iter().map(|name| format!("`{name}`")).collect();
        line(
            page,
            format_args!(
                "| `{}` | {} | {} | {} | {} |",
                row.name,
                kind(row.kind),
                labels.join(", "),
                row.help,
                row.source
            ),
        );
    }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Histogram(bounds) => {
            let (first, last) = (bounds.first(), bounds.last());
            let ends = first.zip(last).map_or_else(String::new, |(first, last)| {
                format!(", {} bounds {first} … {last}", bounds.len())
            });
            format!("histogram{ends}")
        }
        other => other.name().into(),
    }
}

fn line(page: &mut String, line: std::fmt::Arguments<'_>) {
    let written = writeln!(page, "{line}");
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}
