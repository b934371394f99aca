//! Sent against counted: what client and servers say beside what the agent says.

use std::collections::{BTreeMap, BTreeSet};

use crate::load::Sent;
use crate::postgres::log::{Kind, StatementLog};
use crate::redis::Usage;
use crate::scrape::{Scrape, Selection};

/// Statements without a name, routes without a template.
pub const OTHER: &str = "(other)";

/// One thing, counted twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub what: String,
    /// By who sent it, or by the server that got it.
    pub sent: u64,
    /// By the agent.
    pub counted: u64,
}

impl Line {
    /// Whether both say the same.
    pub fn agrees(&self) -> bool {
        self.sent == self.counted
    }
}

/// HTTP requests by method, endpoint and status, and GraphQL failures by operation.
pub fn http(sent: &Sent, scrape: &Scrape, service: &str) -> Vec<Line> {
    let known: BTreeSet<&str> = sent
        .answered
        .keys()
        .map(|(_, endpoint, _)| *endpoint)
        .collect();
    let name = |endpoint: &str| {
        let known = !endpoint.is_empty() && known.contains(endpoint);
        if known {
            endpoint.to_owned()
        } else {
            OTHER.into()
        }
    };
    let mut lines = Lines::default();
    for ((method, endpoint, status), count) in &sent.answered {
        lines.sent(format!("{method} {} {status}", name(endpoint)), *count);
    }
    let counted = of(
        scrape,
        "naytife_http_request_duration_seconds_count",
        service,
    );
    for ([method, endpoint, status], count) in counted.by(["method", "endpoint", "status_code"]) {
        lines.counted(format!("{method} {} {status}", name(&endpoint)), count);
    }
    for (operation, count) in &sent.errors {
        lines.sent(format!("GraphQL errors in {operation}"), *count);
    }
    let errors = of(scrape, "naytife_graphql_errors_total", service);
    for ([operation], count) in errors.by(["operation"]) {
        lines.counted(format!("GraphQL errors in {operation}"), count);
    }
    lines.list()
}

/// SQL executions by the statement's name, and errors by SQLSTATE, against the statement log.
pub fn sql(log: &StatementLog, scrape: &Scrape, service: &str) -> Vec<Line> {
    let names = log.by_name();
    let mut lines = Lines::default();
    for (name, count) in &names {
        lines.sent((*name).to_owned(), *count as u64);
    }
    let nameless = log.executions() - names.values().sum::<usize>();
    lines.sent(OTHER.into(), nameless as u64);
    let counted = of(
        scrape,
        "naytife_database_query_duration_seconds_count",
        service,
    );
    let untimed = of(scrape, "naytife_database_executions_untimed_total", service);
    for ([query], count) in counted
        .by(["query"])
        .into_iter()
        .chain(untimed.by(["query"]))
    {
        let known = names.contains_key(query.as_str());
        lines.counted(if known { query } else { OTHER.into() }, count);
    }
    for entry in log.entries.iter().filter(|entry| entry.kind == Kind::Error) {
        lines.sent(format!("SQLSTATE {}", entry.sqlstate), 1);
    }
    let errors = of(scrape, "naytife_database_errors_total", service);
    for ([sqlstate], count) in errors.by(["sqlstate"]) {
        lines.counted(format!("SQLSTATE {sqlstate}"), count);
    }
    lines.list()
}

/// Redis commands by name and look-ups by result, against the server's statistics; without INFO,
/// which only the harness sends.
pub fn redis(
    usage: &BTreeMap<String, Usage>,
    (hits, misses): (u64, u64),
    scrape: &Scrape,
    service: &str,
) -> Vec<Line> {
    let mut lines = Lines::default();
    for (command, usage) in usage {
        lines.sent(command.clone(), usage.calls + usage.rejected);
    }
    lines.forget("info");
    for ([command], count) in of(scrape, "naytife_redis_commands_total", service).by(["command"]) {
        lines.counted(command, count);
    }
    lines.sent("look-ups: hit".into(), hits);
    lines.sent("look-ups: miss".into(), misses);
    for ([result], count) in of(scrape, "naytife_redis_lookups_total", service).by(["result"]) {
        lines.counted(format!("look-ups: {result}"), count);
    }
    lines.list()
}

fn of<'a>(scrape: &'a Scrape, metric: &str, service: &str) -> Selection<'a> {
    scrape.select(metric).with("service", service)
}

#[derive(Default)]
pub(crate) struct Lines(BTreeMap<String, (u64, u64)>);

impl Lines {
    pub(crate) fn sent(&mut self, what: String, count: u64) {
        self.0.entry(what).or_default().0 += count;
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a counter is a whole number that is not negative"
    )]
    pub(crate) fn counted(&mut self, what: String, count: f64) {
        self.0.entry(what).or_default().1 += count as u64;
    }

    fn forget(&mut self, what: &str) {
        self.0.remove(what);
    }

    pub(crate) fn list(self) -> Vec<Line> {
        self.0
            .into_iter()
            .filter(|(_, (sent, counted))| sent + counted > 0)
            .map(|(what, (sent, counted))| Line {
                what,
                sent,
                counted,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: &str, sent: u64, counted: u64) -> Line {
        Line {
            what: what.into(),
            sent,
            counted,
        }
    }

    #[test]
    fn requests_meet_by_route_and_status() {
        let sent = Sent {
            answered: BTreeMap::from([
                (("GET", "/v1/shops/{shop_id}", 200), 3),
                (("GET", "", 404), 2),
            ]),
            shops: BTreeMap::new(),
            errors: BTreeMap::from([("createOrder", 1)]),
            unanswered: 0,
        };
        let name = "naytife_http_request_duration_seconds_count";
        let scrape = Scrape::parse(&format!(
            "{name}{{method=\"GET\",endpoint=\"/v1/shops/{{shop_id}}\",status_code=\"200\",shop_id=\"1\",service=\"shop\"}} 2\n\
             {name}{{method=\"GET\",endpoint=\"/v1/shops/{{shop_id}}\",status_code=\"200\",shop_id=\"2\",service=\"shop\"}} 1\n\
             {name}{{method=\"GET\",endpoint=\"/.env\",status_code=\"404\",shop_id=\"\",service=\"shop\"}} 2\n\
             {name}{{method=\"GET\",endpoint=\"/metrics\",status_code=\"200\",shop_id=\"\",service=\"else\"}} 9\n"
        ));
        let lines = http(&sent, &scrape.unwrap(), "shop");
        assert_eq!(
            lines,
            [
                line("GET (other) 404", 2, 2),
                line("GET /v1/shops/{shop_id} 200", 3, 3),
                line("GraphQL errors in createOrder", 1, 0),
            ]
        );
        assert_eq!(lines.iter().filter(|line| !line.agrees()).count(), 1);
    }

    #[test]
    fn statements_meet_by_name() {
        let log = StatementLog::parse(
            "7|shop||00000|LOG:  execute s0: -- name: GetShop :one\n\tSELECT 1\n\
             7|shop||00000|LOG:  statement: begin\n\
             7|shop||23503|ERROR:  no such key\n",
        );
        let scrape = Scrape::parse(
            "naytife_database_query_duration_seconds_count{service=\"shop\",query=\"GetShop\"} 1\n\
             naytife_database_query_duration_seconds_count{service=\"shop\",query=\"begin\"} 1\n\
             naytife_database_errors_total{service=\"shop\",sqlstate=\"23503\"} 1\n",
        );
        let lines = sql(&log, &scrape.unwrap(), "shop");
        assert_eq!(
            lines,
            [
                line(OTHER, 1, 1),
                line("GetShop", 1, 1),
                line("SQLSTATE 23503", 1, 1)
            ]
        );
    }
}
