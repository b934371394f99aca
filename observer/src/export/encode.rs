//! Prometheus' text format, written piece by piece.
//!
//! A scrape is an iterator of chunks: one is rendered when the client has taken the one before, so
//! the memory of a scrape is a chunk and a list of pointers, however many lines there are.
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use prometheus::proto;

use super::agent::Agent;
use super::catalog::{CATALOG, Kind, Row};
use super::registry::{Family, Registry};
use super::series::Series;

/// `Content-Type` of the exposition.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bytes past which a chunk is handed out; one label set more may be in it.
pub(super) const CHUNK: usize = 32 * 1024;

/// One scrape in progress: metrics in the order of their names, each once.
#[derive(Debug)]
pub struct Scrape {
    registry: Arc<Registry>,
    agent: Option<Arc<Agent>>,
    /// The catalog's rows that are not yet begun, last name first.
    families: Vec<usize>,
    current: Option<usize>,
    /// What is left of the current family.
    series: std::vec::IntoIter<Arc<Series>>,
}

impl Scrape {
    /// A scrape of both tables.
    #[must_use]
    pub fn new(registry: Arc<Registry>, agent: Arc<Agent>) -> Self {
        let mut families: Vec<usize> = (0..CATALOG.len()).collect();
        families
            .sort_by_key(|place| std::cmp::Reverse(CATALOG.get(*place).map_or("", |row| row.name)));
        Self {
            registry,
            agent: Some(agent),
            families,
            current: None,
            series: Vec::new().into_iter(),
        }
    }
}

impl Iterator for Scrape {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut text = Text::default();
        while text.0.len() < CHUNK {
            let family = self
                .current
                .and_then(|place| self.registry.families().get(place));
            if let Some(family) = family
                && let Some(series) = self.series.next()
            {
                text.series(family, &series);
            } else if let Some(place) = self.families.pop() {
                self.current = Some(place);
                if let Some(family) = self.registry.families().get(place) {
                    self.series = family.snapshot().into_iter();
                    if self.series.len() > 0 {
                        text.header(family.row);
                    }
                }
            } else if let Some(agent) = self.agent.take() {
                // A few hundred lines at most, read together so that the ledger closes.
                agent.write(&self.registry, &mut text);
            } else {
                break;
            }
        }
        (!text.0.is_empty()).then(|| text.0.into())
    }
}

/// Text under construction.
#[derive(Debug, Default)]
pub(super) struct Text(Vec<u8>);

impl Text {
    /// `# HELP` and `# TYPE`.
    pub(super) fn header<M>(&mut self, row: &Row<M>) {
        self.head(row.name, row.help, row.kind.name());
    }

    /// The same of a family that is in no table.
    pub(super) fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.put(&["# HELP ", name, " "]);
        escape(help, false, |part| self.put(&[part]));
        self.put(&["\n# TYPE ", name, " ", kind, "\n"]);
    }

    /// A line of a family whose labels are not rendered yet.
    pub(super) fn line(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.put(&[name, suffix]);
        let mut before = "{";
        for (label, content) in labels {
            self.put(&[before, label, "=\""]);
            escape(content, true, |part| self.put(&[part]));
            self.put(&["\""]);
            before = ",";
        }
        if !labels.is_empty() {
            self.put(&["}"]);
        }
        self.value(value);
    }

    /// Writes what another wrote.
    pub(super) fn copy(&mut self, written: &[u8]) {
        self.0.extend_from_slice(written);
    }

    /// What was written so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes back what was written after so many bytes.
    pub(super) fn cut(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// A line of the agent's own; `labels` as [`render_labels`] makes them.
    pub(super) fn sample(&mut self, name: &str, labels: &str, value: f64) {
        self.put(&[name]);
        self.labels(labels, None);
        self.value(value);
    }

    fn series(&mut self, family: &Family, series: &Series) {
        let name = family.row.name;
        let metric = series.handle.read();
        match family.row.kind {
            Kind::Counter => self.sample(name, &series.labels, metric.get_counter().get_value()),
            Kind::Money => {
                self.put(&[name]);
                self.labels(&series.labels, None);
                self.money(series.handle.money().unwrap_or(0));
            }
            Kind::Gauge | Kind::Level => {
                self.sample(name, &series.labels, metric.get_gauge().get_value());
            }
            Kind::Histogram(_) => {
                let histogram = metric.get_histogram();
                let count = histogram.get_sample_count();
                let buckets = histogram
                    .get_bucket()
                    .iter()
                    .map(proto::Bucket::cumulative_count);
                for (bound, below) in family.bounds.iter().zip(buckets.chain([count])) {
                    self.put(&[name, "_bucket"]);
                    self.labels(&series.labels, Some(bound));
                    self.count(below);
                }
                self.put(&[name, "_sum"]);
                self.labels(&series.labels, None);
                self.value(histogram.get_sample_sum());
                self.put(&[name, "_count"]);
                self.labels(&series.labels, None);
                self.count(count);
            }
        }
    }

    fn labels(&mut self, labels: &str, bound: Option<&str>) {
        match (labels, bound) {
            ("", None) => {}
            ("", Some(bound)) => self.put(&["{le=\"", bound, "\"}"]),
            (labels, None) => self.put(&["{", labels, "}"]),
            (labels, Some(bound)) => self.put(&["{", labels, ",le=\"", bound, "\"}"]),
        }
    }

    fn value(&mut self, value: f64) {
        let written = if value.is_nan() {
            write!(self.0, " NaN")
        } else if value.is_infinite() {
            write!(self.0, " {}Inf", if value > 0.0 { '+' } else { '-' })
        } else {
            write!(self.0, " {value}")
        };
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
        self.put(&["\n"]);
    }

    /// Ten-thousandths, written out: whoever reads it rounds it, once.
    fn money(&mut self, amount: u64) {
        let (whole, part) = (amount / 10_000, amount % 10_000);
        let digits = format!("{whole}.{part:04}");
        self.put(&[
            " ",
            digits.trim_end_matches('0').trim_end_matches('.'),
            "\n",
        ]);
    }

    fn count(&mut self, count: u64) {
        let written = writeln!(self.0, " {count}");
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
    }

    fn put(&mut self, parts: &[&str]) {
        for part in parts {
            self.0.extend_from_slice(part.as_bytes());
        }
    }
}

/// `name="value",name="value"`, values escaped; empty without labels.
pub(super) fn render_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Box<str> {
    let mut text = String::new();
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        escape(value, true, |part| text.push_str(part));
        text.push('"');
    }
    text.into()
}

/// The value of a label in what [`render_labels`] made; empty where there is none.
pub(super) fn label<'a>(labels: &'a str, name: &str) -> Cow<'a, str> {
    let mut rest = labels;
    while let Some((found, after)) = rest.split_once("=\"") {
        let value = quoted(after);
        if found == name {
            return unescape(value);
        }
        // The quote, and the comma before the next name.
        let next = after.get(value.len() + 1..).unwrap_or_default();
        rest = next.strip_prefix(',').unwrap_or(next);
    }
    Cow::Borrowed("")
}

/// What stands before the closing quote.
fn quoted(text: &str) -> &str {
    let mut escaped = false;
    let end = text.bytes().position(|byte| match byte {
        b'"' if !escaped => true,
        byte => {
            escaped = byte == b'\\' && !escaped;
            false
        }
    });
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    Cow::Owned(plain)
}

/// Backslash and line feed are escaped everywhere, double quotes in label values.
fn escape(text: &str, quotes: bool, mut out: impl FnMut(&str)) {
    let mut rest = text;
    while let Some(place) = rest.find(|c| matches!(c, '\\' | '\n') || (quotes && c == '"')) {
        let (before, from) = rest.split_at(place);
        out(before);
        out(match from.as_bytes().first() {
            Some(b'\\') => "\\\\",
            Some(b'\n') => "\\n",
            _ => "\\\"",
        });
        // Each of the three is one byte.
        rest = from.get(1..).unwrap_or_default();
    }
    out(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let cases = [
            ("plain", r#"a="plain""#),
            ("", r#"a="""#),
            ("a\\b", r#"a="a\\b""#),
            ("line\nfeed", r#"a="line\nfeed""#),
            ("\"", r#"a="\"""#),
            ("é\"ü\\\n", r#"a="é\"ü\\\n""#),
            ("\r\t", "a=\"\r\t\""),
        ];
        for (value, expected) in cases {
            assert_eq!(&*render_labels([("a", value)].into_iter()), expected);
        }
    }

    #[test]
    fn a_label_is_read_as_it_was_rendered() {
        let nasty = [
            "",
            "plain",
            "\"",
            "\\",
            "\\\"",
            "a\nb",
            "x=\"1\",b=\"2\"",
            "\\n",
            "é,",
        ];
        for first in nasty {
            for second in nasty {
                let labels = render_labels([("a", first), ("b", second)].into_iter());
                assert_eq!(label(&labels, "a"), first, "{labels}");
                assert_eq!(label(&labels, "b"), second, "{labels}");
                assert_eq!(label(&labels, "x"), "", "{labels}");
            }
        }
        assert_eq!(label("", "a"), "");
    }

    #[test]
    fn money_is_written_out() {
        for (amount, expected) in [
            (0, " 0\n"),
            (399_700, " 39.97\n"),
            (100_000, " 10\n"),
            (1, " 0.0001\n"),
            (u64::MAX, " 1844674407370955.1615\n"),
        ] {
            let mut text = Text::default();
            text.money(amount);
            assert_eq!(text.0, expected.as_bytes());
        }
    }

    #[test]
    fn values_are_written_as_prometheus_reads_them() {
        let cases = [
            (0.0, "x 0\n"),
            (-1.0, "x -1\n"),
            (0.1, "x 0.1\n"),
            (1e15, "x 1000000000000000\n"),
            (f64::INFINITY, "x +Inf\n"),
            (f64::NEG_INFINITY, "x -Inf\n"),
            (f64::NAN, "x NaN\n"),
        ];
        for (value, expected) in cases {
            let mut text = Text::default();
            text.sample("x", "", value);
            assert_eq!(text.0, expected.as_bytes());
        }
    }
}
