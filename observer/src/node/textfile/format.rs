//! The text format, read: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
//!
//! What has a time of its own is refused, as node-exporter does: Prometheus would take an old file
//! for an old scrape.

use std::borrow::Cow;

use crate::export::families::Type;

/// A line that says something.
#[derive(Debug, PartialEq)]
pub(super) enum Line<'a> {
    /// Family and help.
    Help(&'a str, Cow<'a, str>),
    /// Family and type.
    Kind(&'a str, Type),
    /// A value.
    Sample(Sample<'a>),
}

/// A value and whose it is.
#[derive(Debug, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Vec<(&'a str, Cow<'a, str>)>,
    pub(super) value: f64,
}

/// A line that is not understood.
#[derive(Debug, PartialEq)]
pub(super) struct Garbage;

/// The lines of a text that say something.
#[derive(Debug)]
pub(super) struct Lines<'a>(std::str::Lines<'a>);

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text.lines())
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, Garbage>;

    fn next(&mut self) -> Option<Result<Line<'a>, Garbage>> {
        loop {
            let line = self.0.next()?.trim_ascii();
            if let Some(comment) = line.strip_prefix('#') {
                if let Some(line) = said(comment) {
                    return Some(line);
                }
            } else if !line.is_empty() {
                return Some(sample(line).map(Line::Sample).ok_or(Garbage));
            }
        }
    }
}

/// `None` is a comment for people.
fn said(comment: &str) -> Option<Result<Line<'_>, Garbage>> {
    let (word, rest) = comment.trim_ascii_start().split_once([' ', '\t'])?;
    let rest = rest.trim_ascii();
    let (name, rest) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let rest = rest.trim_ascii_start();
    match word {
        "HELP" => Some(Ok(Line::Help(name, unescape(rest)))),
        "TYPE" => {
            let kinds = [
                Type::Counter,
                Type::Gauge,
                Type::Histogram,
                Type::Summary,
                Type::Untyped,
            ];
            let kind = kinds.into_iter().find(|kind| kind.name() == rest);
            Some(kind.map(|kind| Line::Kind(name, kind)).ok_or(Garbage))
        }
        _ => None,
    }
}

/// `name{label="value",other="value"} 1.5`
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' ', '\t'])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    rest = rest.trim_ascii_start();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_ascii_start();
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once('=')?;
            let quoted = after.trim_ascii_start().strip_prefix('"')?;
            let end = quote(quoted)?;
            labels.push((label.trim_ascii(), unescape(quoted.get(..end)?)));
            rest = quoted.get(end + 1..)?.trim_ascii_start();
            match rest.strip_prefix(',') {
                Some(after) => rest = after.trim_ascii_start(),
                None if rest.starts_with('}') => {}
                None => return None,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let mut words = rest.split_ascii_whitespace();
    let value = words.next()?.parse().ok()?;
    // A second one is a time.
    (words.next().is_none() && !name.is_empty()).then_some(Sample {
        name,
        labels,
        value,
    })
}

/// Where the closing quote is.
fn quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(line: &str) -> Option<Vec<(&str, String)>> {
        let sample = sample(line)?;
        let labels = sample.labels.into_iter();
        Some(
            labels
                .map(|(label, value)| (label, value.into_owned()))
                .collect(),
        )
    }

    #[test]
    fn labels_are_read_however_they_are_written() {
        let one = |value: &str| Some(vec![("a", value.to_owned())]);
        let cases = [
            ("x 1", Some(vec![])),
            ("x{} 1", Some(vec![])),
            ("x{a=\"b\"} 1", one("b")),
            ("x{ a = \"b\" , } 1", one("b")),
            ("x{a=\"\"} 1", one("")),
            ("x{a=\"}\\\"\\\\\\n,\"} 1", one("}\"\\\n,")),
            (
                "x{a=\"b\",c=\"d\"}\t1",
                Some(vec![("a", "b".to_owned()), ("c", "d".to_owned())]),
            ),
            ("x{a=\"b} 1", None),
            ("x{a=b} 1", None),
            ("x{a} 1", None),
            ("x{a=\"b\" c=\"d\"} 1", None),
            ("x{a=\"b\"", None),
            ("x", None),
            ("x{} ", None),
        ];
        for (line, expected) in cases {
            assert_eq!(labels(line), expected, "{line}");
        }
    }

    #[test]
    fn values_are_numbers_without_a_time() {
        let value = |line| sample(line).map(|sample| sample.value);
        assert_eq!(value("x 1.5e3"), Some(1500.0));
        assert_eq!(value("x +Inf"), Some(f64::INFINITY));
        assert!(value("x NaN").is_some_and(f64::is_nan));
        assert_eq!(value("x 1 1395066363000"), None);
        assert_eq!(value("x one"), None);
        assert_eq!(value("{} 1"), None);
    }

    #[test]
    fn comments_for_people_are_passed_over() {
        let text = "# nothing\n#\n\n# HELP x An \\\\ and\\n a line.\n# TYPE x counter\nx 1\n# TYPE x odd\n";
        let lines: Vec<_> = Lines::new(text).collect();
        let sample = Sample {
            name: "x",
            labels: Vec::new(),
            value: 1.0,
        };
        assert_eq!(
            lines,
            [
                Ok(Line::Help("x", "An \\ and\n a line.".into())),
                Ok(Line::Kind("x", Type::Counter)),
                Ok(Line::Sample(sample)),
                Err(Garbage),
            ]
        );
    }
}
