//! What `/metrics` said, to be asked by name and label.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use anyhow::{Context as _, Result, bail};

/// A line of the exposition.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric, with `_bucket`, `_sum` or `_count` for a histogram.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// Everything one scrape returned.
#[derive(Clone, Debug)]
pub struct Scrape {
    samples: Vec<Sample>,
    types: BTreeMap<String, String>,
}

/// Some samples of one metric.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    name: String,
    samples: Vec<&'a Sample>,
}

impl Scrape {
    /// Reads the text format.
    ///
    /// # Errors
    /// On a line that Prometheus would not accept either.
    pub fn parse(text: &str) -> Result<Self> {
        let samples = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| sample(line).with_context(|| format!("not a sample: {line}")))
            .collect::<Result<_>>()?;
        let types = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .map(|(family, kind)| (family.to_owned(), kind.to_owned()))
            .collect();
        Ok(Self { samples, types })
    }

    /// Both in one, as if one process had answered: sums over it are sums over both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.samples.extend(other.samples);
        self.types.extend(other.types);
        self
    }

    /// Every family and its type.
    pub fn types(&self) -> &BTreeMap<String, String> {
        &self.types
    }

    /// The samples of a metric.
    pub fn select(&self, name: &str) -> Selection<'_> {
        Selection {
            name: name.into(),
            samples: self.samples.iter().filter(|s| s.name == name).collect(),
        }
    }

    /// Every sample, as they came.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// How many lines there are.
    pub fn lines(&self) -> usize {
        self.samples.len()
    }

    /// Whether every stage has taken what the one before it handed on.
    ///
    /// # Errors
    /// When one is behind, with what each took.
    pub fn stages_agree(&self) -> Result<()> {
        let records = self.select("observer_records_total");
        let of = |stage| records.clone().with("stage", stage).sum();
        for (before, after) in [("kernel", "reassemble"), ("correlate", "interpret")] {
            if (of(before) - of(after)).abs() > 0.5 {
                bail!("{after} is behind {before}:\n{records}");
            }
        }
        Ok(())
    }

    /// Whether `seen = decoded + skipped + lost + pending`, and nothing is pending.
    ///
    /// # Errors
    /// When not, with the ledger.
    pub fn ledger_closes(&self) -> Result<()> {
        let of = |outcome| {
            self.select("observer_bytes_total")
                .with("outcome", outcome)
                .sum()
        };
        let pending = self.select("observer_bytes_pending").sum();
        let seen = of("seen");
        let settled = of("decoded") + of("skipped") + of("lost");
        // Counts of bytes: exact in a float up to 2^53.
        if pending.abs() < 0.5 && (seen - settled).abs() < 0.5 {
            return Ok(());
        }
        bail!(
            "the ledger is open: seen {seen}, settled {settled}, pending {pending}\n{}",
            self.select("observer_bytes_total")
        )
    }
}

impl Selection<'_> {
    /// Those where the label has this value.
    #[must_use]
    pub fn with(mut self, label: &str, value: &str) -> Self {
        self.samples
            .retain(|s| s.labels.get(label).is_some_and(|v| v == value));
        self
    }

    /// Those where the label has another value, or none.
    #[must_use]
    pub fn without(mut self, label: &str, value: &str) -> Self {
        self.samples
            .retain(|s| s.labels.get(label).is_none_or(|v| v != value));
        self
    }

    /// Their sum; 0 when there are none.
    pub fn sum(&self) -> f64 {
        // From +0: an empty sum of floats is -0.
        self.samples.iter().fold(0.0, |sum, s| sum + s.value)
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Their sums by the values of these labels.
    pub fn by<const N: usize>(&self, labels: [&str; N]) -> BTreeMap<[String; N], f64> {
        let mut sums = BTreeMap::new();
        for sample in &self.samples {
            let key = labels.map(|label| sample.labels.get(label).cloned().unwrap_or_default());
            *sums.entry(key).or_default() += sample.value;
        }
        sums
    }

    /// A quantile of these buckets, interpolated as Prometheus does; `None` when nothing was
    /// measured, infinite above the last bound.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for ([bound], count) in self.by(["le"]) {
            buckets.push((number(&bound).ok()?, count));
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let rank = q * buckets.last()?.1;
        let (mut below, mut start) = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= rank && count > 0.0 {
                if bound.is_infinite() {
                    return Some(bound);
                }
                let share = (rank - below) / (count - below).max(f64::MIN_POSITIVE);
                return Some(start + (bound - start) * share.clamp(0.0, 1.0));
            }
            (below, start) = (count, bound);
        }
        None
    }

    /// Whether the sum is this count.
    ///
    /// # Errors
    /// When it is not, with what there is.
    pub fn is(&self, count: u64) -> Result<()> {
        // Counters are whole numbers: exact in a float up to 2^53.
        #[expect(clippy::cast_precision_loss, reason = "tests count below 2^53")]
        if (self.sum() - count as f64).abs() < 0.5 {
            return Ok(());
        }
        bail!("expected {count}, found {}:\n{self}", self.sum())
    }
}

impl Display for Selection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.samples.is_empty() {
            return writeln!(f, "no {} like that", self.name);
        }
        self.samples
            .iter()
            .try_for_each(|s| writeln!(f, "{} {:?} {}", s.name, s.labels, s.value))
    }
}

fn sample(line: &str) -> Result<Sample> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches(',');
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"").context("no label value")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.to_owned(), value);
            rest = after;
        }
    }
    let value = rest.split_whitespace().next().context("no value")?;
    Ok(Sample {
        name: name.into(),
        labels,
        value: number(value)?,
    })
}

/// A label value up to its closing quote, and what follows.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match characters.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some(c @ ('\\' | '"')) => value.push(c),
                other => bail!("no such escape: {other:?}"),
            },
            other => value.push(other),
        }
    }
    bail!("a label value does not end")
}

fn number(text: &str) -> Result<f64> {
    Ok(match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_hold_anything() {
        let text = "# HELP a b\n# TYPE a counter\na{x=\"q\\\"},{\\\\ \\n\",y=\"\"} 3\na 1e3 17\n";
        let scrape = Scrape::parse(text).unwrap();
        assert_eq!(scrape.lines(), 2);
        scrape.select("a").with("x", "q\"},{\\ \n").is(3).unwrap();
        scrape.select("a").without("y", "").is(1000).unwrap();
        assert!(scrape.select("b").is(1).is_err());
    }

    #[test]
    fn quantiles_are_interpolated() {
        let text = "h_bucket{le=\"1\"} 10\nh_bucket{le=\"2\"} 20\nh_bucket{le=\"+Inf\"} 20\n";
        let scrape = Scrape::parse(text).unwrap();
        let quantile = |q| scrape.select("h_bucket").quantile(q).unwrap();
        assert!((quantile(0.5) - 1.0).abs() < 1e-9);
        assert!((quantile(0.75) - 1.5).abs() < 1e-9);
        assert_eq!(scrape.select("none").quantile(0.5), None);
    }

    #[test]
    fn an_open_ledger_is_told_from_a_closed_one() {
        let ledger = |pending: u32| {
            let text = format!(
                "observer_bytes_total{{outcome=\"seen\"}} 10\n\
                 observer_bytes_total{{outcome=\"decoded\"}} 7\n\
                 observer_bytes_total{{outcome=\"lost\",reason=\"hole\"}} 3\n\
                 observer_bytes_pending {pending}\n"
            );
            Scrape::parse(&text).unwrap().ledger_closes()
        };
        assert!(ledger(0).is_ok());
        assert!(ledger(1).is_err());
    }

    #[test]
    fn what_prometheus_would_refuse_is_refused() {
        for line in ["a", "a{b=\"c} 1", "a{b=\"c\"}", "a x", "a{b=\"\\q\"} 1"] {
            assert!(Scrape::parse(line).is_err(), "{line}");
        }
    }
}
