//! What became of the rows of a recording, as text or as lines of JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::export::Metric;
use crate::export::catalog::Kind;
use crate::interpret::business::Fate;
use crate::interpret::business::journal::{Moved, Note};
use crate::interpret::business::program::Program;

/// What a row is that counts for nothing.
const NONE: &str = "none";
/// How many queries are named that no rule speaks of.
const OTHERS: usize = 20;
/// Ten-thousandths of the major unit, in which money is counted.
const MONEY: f64 = 10_000.0;

/// What was told so far.
pub(super) struct Report {
    started: u64,
    json: bool,
    rules: Vec<Sum>,
    /// By series: its metric, and the sum of its facts.
    moved: BTreeMap<String, (Metric, f64)>,
}

/// How often each thing became of a rule's rows.
#[derive(Debug, Default, Serialize)]
struct Sum {
    rule: String,
    published: u64,
    rolled_back: u64,
    repeated: u64,
    unknown: u64,
    /// Rows that only show something, and statements without a row that counts.
    none: u64,
    /// Queries or routes.
    speaks_of: Vec<String>,
}

impl Sum {
    fn count(&mut self, fate: Option<Fate>) {
        *match fate {
            Some(Fate::Published) => &mut self.published,
            Some(Fate::RolledBack) => &mut self.rolled_back,
            Some(Fate::Repeated) => &mut self.repeated,
            Some(Fate::Unknown) => &mut self.unknown,
            None => &mut self.none,
        } += 1;
    }

    const fn counts(&self) -> [u64; 5] {
        [
            self.published,
            self.rolled_back,
            self.repeated,
            self.unknown,
            self.none,
        ]
    }
}

/// A row, as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since the recording began.
    time: f64,
    rule: &'a str,
    entity: &'a str,
    key: BTreeMap<&'a str, &'a str>,
    does: &'static str,
    outcome: &'static str,
    why: String,
    moved: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    metric: &'static str,
    labels: BTreeMap<&'static str, &'a str>,
    by: f64,
}

/// A query that no rule speaks of, as a line of JSON.
#[derive(Serialize)]
struct Other<'a> {
    query: &'a str,
    executions: u64,
}

impl Report {
    /// Of a recording that began at `started`.
    pub(super) fn new(program: &Program, started: u64, json: bool) -> Self {
        let rules = program.rules().map(|(rule, speaks_of)| Sum {
            rule: rule.to_owned(),
            speaks_of,
            ..Sum::default()
        });
        Self {
            started,
            json,
            rules: rules.collect(),
            moved: BTreeMap::new(),
        }
    }

    /// Writes rows, in the order in which they were decided.
    pub(super) fn notes(&mut self, notes: Vec<Note>, out: &mut impl Write) -> io::Result<()> {
        for note in notes {
            if let Some(sum) = self.rules.iter_mut().find(|sum| sum.rule == note.rule) {
                sum.count(note.fate);
            }
            if self.json {
                writeln!(out, "{}", self.line(&note)?)?;
                continue;
            }
            let (seconds, micros) = self.time(&note);
            write!(
                out,
                "+{seconds}.{micros:06}s {:<11} {}: {} {}",
                note.fate.map_or(NONE, Fate::label),
                note.rule,
                note.does.label(),
                note.entity
            )?;
            for (field, value) in &note.key {
                write!(out, " {field}={value}")?;
            }
            writeln!(out, ": {}", note.why)?;
            for moved in &note.moved {
                let series = series(moved);
                writeln!(out, "    {series} {}", amount(moved.metric, moved.by))?;
                self.moved.entry(series).or_insert((moved.metric, 0.0)).1 += moved.by;
            }
        }
        Ok(())
    }

    /// Writes what it comes to; `others` are queries that no rule speaks of.
    pub(super) fn end(&self, others: &[(String, u64)], out: &mut impl Write) -> io::Result<()> {
        if self.json {
            for sum in &self.rules {
                writeln!(out, "{}", serde_json::to_string(sum)?)?;
            }
            for (query, executions) in others {
                let executions = *executions;
                writeln!(
                    out,
                    "{}",
                    serde_json::to_string(&Other { query, executions })?
                )?;
            }
            return Ok(());
        }
        let (matched, never): (Vec<_>, Vec<_>) = self
            .rules
            .iter()
            .partition(|sum| sum.counts().iter().any(|count| *count > 0));
        let heads = Fate::ALL.map(Fate::label);
        let widest = matched.iter().map(|sum| sum.rule.len()).max();
        let width = widest.unwrap_or(0).max("rule".len());
        write!(out, "\n{:<width$}", "rule")?;
        for head in heads.iter().chain([&NONE]) {
            write!(out, " {head:>11}")?;
        }
        writeln!(out)?;
        for sum in matched {
            write!(out, "{:<width$}", sum.rule)?;
            for count in sum.counts() {
                write!(out, " {count:>11}")?;
            }
            writeln!(out)?;
        }
        if !self.moved.is_empty() {
            writeln!(out, "\nIn all:")?;
            for (series, (metric, by)) in &self.moved {
                writeln!(out, "    {series} {}", amount(*metric, *by))?;
            }
        }
        if !never.is_empty() {
            writeln!(out, "\nNothing was seen of what these speak of:")?;
            for sum in never {
                writeln!(out, "    {}: {}", sum.rule, sum.speaks_of.join(", "))?;
            }
        }
        if !others.is_empty() {
            writeln!(out, "\nNo rule speaks of these queries:")?;
            for (query, executions) in others.iter().take(OTHERS) {
                writeln!(out, "    {query}: {executions}")?;
            }
            if others.len() > OTHERS {
                writeln!(out, "    and {} more", others.len() - OTHERS)?;
            }
        }
        Ok(())
    }

    /// Seconds and microseconds since the recording began.
    fn time(&self, note: &Note) -> (u64, u64) {
        let time = note.time.0.saturating_sub(self.started);
        (time / 1_000_000_000, time % 1_000_000_000 / 1000)
    }

    fn line(&self, note: &Note) -> serde_json::Result<String> {
        let (seconds, micros) = self.time(note);
        let key = note.key.iter();
        let moved = note.moved.iter().map(|moved| Change {
            metric: moved.metric.row().name,
            labels: labels(moved).collect(),
            by: in_unit(moved.metric, moved.by),
        });
        #[expect(clippy::cast_precision_loss, reason = "a recording is not that long")]
        let time = seconds as f64 + micros as f64 / 1e6;
        serde_json::to_string(&Line {
            time,
            rule: &note.rule,
            entity: &note.entity,
            key: key
                .map(|(field, value)| (field.as_str(), value.as_str()))
                .collect(),
            does: note.does.label(),
            outcome: note.fate.map_or(NONE, Fate::label),
            why: note.why.to_string(),
            moved: moved.collect(),
        })
    }
}

fn labels(moved: &Moved) -> impl Iterator<Item = (&'static str, &str)> {
    let names = moved.metric.row().labels.iter().copied();
    names.zip(moved.labels.iter().map(String::as_str))
}

/// A series as Prometheus writes it.
fn series(moved: &Moved) -> String {
    let labels = labels(moved).map(|(name, value)| format!("{name}={value:?}"));
    let labels: Vec<_> = labels.collect();
    let name = moved.metric.row().name;
    if labels.is_empty() {
        return name.to_owned();
    }
    format!("{name}{{{}}}", labels.join(","))
}

/// What facts add up to in the metric's unit; money is a whole number of ten-thousandths up to here.
fn in_unit(metric: Metric, by: f64) -> f64 {
    match metric.row().kind {
        Kind::Money => by / MONEY,
        _ => by,
    }
}

fn amount(metric: Metric, by: f64) -> String {
    let by = in_unit(metric, by);
    match metric.row().kind {
        // Observations are rounded already; what their sum has behind that is none of theirs.
        Kind::Histogram(_) => format!("observed {}", (by * MONEY).round() / MONEY),
        _ => format!("{by:+}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::business::why::Why;
    use crate::interpret::rules::business::Does;
    use crate::interpret::{Plan, Rules};
    use crate::time::Timestamp;

    fn note(fate: Option<Fate>, why: Why, moved: Vec<Moved>) -> Note {
        Note {
            time: Timestamp(3_000_412_000),
            rule: "CreateOrder".into(),
            entity: "order".into(),
            key: vec![("shop".into(), "7".into())],
            does: Does::Create,
            fate,
            why,
            moved,
        }
    }

    fn report(json: bool) -> String {
        let plan = Plan::new(&Rules::naytife().unwrap()).unwrap();
        let mut report = Report::new(&plan.business, 1_000_000_000, json);
        let moved = vec![
            Moved {
                metric: Metric::Revenue,
                labels: vec!["7".into(), "ngn".into()],
                by: 399_700.0,
            },
            Moved {
                metric: Metric::OrderValue,
                labels: vec!["ngn".into()],
                by: 39.97,
            },
        ];
        let notes = vec![
            note(Some(Fate::Published), Why::Committed(Vec::new()), moved),
            note(None, Why::NoRow("INSERT".into()), Vec::new()),
        ];
        let mut out = Vec::new();
        report.notes(notes, &mut out).unwrap();
        let others = [("SELECT carts 01234567".to_owned(), 5)];
        report.end(&others, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_row_has_its_reason_and_what_it_moved_then_comes_what_it_comes_to() {
        let text = report(false);
        let want = "\
+2.000412s published   CreateOrder: create order shop=7: committed
    naytife_revenue_total{shop_id=\"7\",currency=\"ngn\"} +39.97
    naytife_order_value{currency=\"ngn\"} observed 39.97
+2.000412s none        CreateOrder: create order shop=7: INSERT 0: there was no row

rule          published rolled_back    repeated     unknown        none
CreateOrder           1           0           0           0           1

In all:
    naytife_order_value{currency=\"ngn\"} observed 39.97
    naytife_revenue_total{shop_id=\"7\",currency=\"ngn\"} +39.97

Nothing was seen of what these speak of:
";
        assert!(text.starts_with(want), "{text}");
        assert!(
            text.contains("\n    OrphanOrder: CreateOrderItem\n"),
            "{text}"
        );
        let others = "\nNo rule speaks of these queries:\n    SELECT carts 01234567: 5\n";
        assert!(text.ends_with(others), "{text}");
    }

    #[test]
    fn every_line_of_json_is_an_object_of_one_of_three_kinds() {
        let text = report(true);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let (row, rule) = (&lines[0], &lines[2]);
        assert_eq!(row["outcome"], "published");
        assert_eq!(row["moved"][0]["labels"]["currency"], "ngn");
        assert_eq!(row["moved"][0]["by"], 39.97);
        assert!(rule["speaks_of"].is_array(), "{rule}");
        let created = lines[2..].iter().find(|line| line["rule"] == "CreateOrder");
        assert_eq!(created.unwrap()["published"], 1);
        assert_eq!(lines.last().unwrap()["executions"], 5);
    }
}
