//! Figures beside their limits.

use std::fmt::{self, Display, Write as _};
use std::io::{Write as _, stderr, stdout};

use anyhow::Result;

use crate::series::{Series, Spread};

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    variants: Vec<Variant>,
}

/// A figure and its limit.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) metric: String,
    /// With its unit.
    pub(crate) value: String,
    /// With its unit; empty where there is none.
    pub(crate) limit: String,
    /// How they compare.
    pub(crate) verdict: Verdict,
}

/// What a figure says about its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is no limit.
    Stated,
    Met,
    Missed,
    /// The same thing measured twice differs by more than half of what is left to the limit.
    NotResolvable,
}

/// What the rows' ratios were made of.
#[derive(Debug)]
struct Variant {
    comparison: String,
    name: String,
    unit: &'static str,
    series: Series,
}

impl Verdict {
    /// A figure that may not be larger.
    pub(crate) fn at_most(value: f64, limit: f64) -> Self {
        if value <= limit {
            Self::Met
        } else {
            Self::Missed
        }
    }

    /// A ratio that may lie so far from 1, measured with this spread.
    pub(crate) fn within(distance: f64, margin: f64, spread: Spread) -> Self {
        if spread.0 > margin / 2.0 {
            return Self::NotResolvable;
        }
        Self::at_most(distance, margin)
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stated => "",
            Self::Met => "met",
            Self::Missed => "**missed**",
            Self::NotResolvable => "not resolvable",
        })
    }
}

impl Report {
    pub(crate) fn add(
        &mut self,
        metric: impl Into<String>,
        value: impl Into<String>,
        limit: impl Into<String>,
        verdict: Verdict,
    ) {
        let row = Row {
            metric: metric.into(),
            value: value.into(),
            limit: limit.into(),
            verdict,
        };
        progress(&format!(
            "{}: {} (limit {}) {}",
            row.metric, row.value, row.limit, row.verdict
        ));
        self.rows.push(row);
    }

    /// Keeps what a comparison was made of.
    pub(crate) fn keep(
        &mut self,
        comparison: &str,
        unit: &'static str,
        variants: impl IntoIterator<Item = (&'static str, Series)>,
    ) {
        self.variants
            .extend(variants.into_iter().map(|(name, series)| Variant {
                comparison: comparison.to_owned(),
                name: name.to_owned(),
                unit,
                series,
            }));
    }

    /// The tables as Markdown.
    pub(crate) fn markdown(&self) -> Result<String> {
        let mut text = String::from("| metric | value | limit | verdict |\n|---|---:|---:|---|\n");
        for row in &self.rows {
            writeln!(
                text,
                "| {} | {} | {} | {} |",
                row.metric, row.value, row.limit, row.verdict
            )?;
        }
        if !self.variants.is_empty() {
            text.push_str(
                "\nWhat the ratios were made of:\n\n\
                 | comparison | variant | unit | minimum | median | maximum |\n\
                 |---|---|---|---:|---:|---:|\n",
            );
        }
        for variant in &self.variants {
            let series = &variant.series;
            writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                variant.comparison,
                variant.name,
                variant.unit,
                figure(series.minimum()),
                figure(series.median()),
                figure(series.maximum()),
            )?;
        }
        Ok(text)
    }

    pub(crate) fn print(&self) -> Result<()> {
        Ok(stdout().write_all(self.markdown()?.as_bytes())?)
    }
}

/// Three digits that count.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Says what is going on.
pub(crate) fn progress(what: &str) {
    // Where nobody listens nobody is told.
    let _ = writeln!(stderr(), "  {what}");
}
