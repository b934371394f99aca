//! Families that are read at the moment of a scrape instead of being kept between two.
//!
//! ```text
//!   a kernel's tables ── Source::read ──▶ Families ── text ──▶ /metrics
//! ```
//!
//! What a file of the kernel, or of an operator, says is not believed: a name that Prometheus would
//! not take, a label set that stands twice and a line past [`LINES`] are left out and counted, for
//! any of them would cost the whole scrape.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::hash::BuildHasher as _;
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::encode::Text;

/// Lines of all families of one scrape.
pub const LINES: usize = 50_000;

/// Whatever is read at a scrape: the node's tables, the containers' files.
pub trait Source: Send + Sync {
    /// Puts what it has. It runs on a thread that may block; it bounds its own time all the same,
    /// since other sources wait for it.
    fn read(&self, families: &mut Families);
}

/// The type of a family, as `# TYPE` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only rises.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets.
    Histogram,
    /// Quantiles.
    Summary,
    /// Nobody said.
    Untyped,
}

impl Type {
    /// As the text format writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}

/// The families of one scrape.
///
/// Everything is written into one text, in the order in which it comes; where each line belongs is
/// kept beside it, and they are put in order at the end.
#[derive(Debug)]
pub struct Families {
    list: Vec<Family>,
    places: HashMap<Cow<'static, str>, usize, FixedState>,
    text: Text,
    lines: Vec<Line>,
    /// Hashes of lines without their value: one in 2^64 may be taken for another and be left out.
    seen: HashSet<u64, FixedState>,
    refused: u64,
    most: usize,
}

#[derive(Debug)]
struct Family {
    name: Cow<'static, str>,
    /// `# HELP` and `# TYPE`.
    head: Range<usize>,
    lines: usize,
}

#[derive(Debug)]
struct Line {
    family: usize,
    hash: u64,
    text: Range<usize>,
}

/// Where the samples of one family go.
#[derive(Debug)]
pub struct Samples<'a> {
    families: &'a mut Families,
    /// `None` where the name is none.
    place: Option<usize>,
}

impl Default for Families {
    fn default() -> Self {
        Self::with_limit(LINES)
    }
}

// === impl Families ===

impl Families {
    fn with_limit(most: usize) -> Self {
        Self {
            list: Vec::new(),
            places: HashMap::default(),
            text: Text::default(),
            lines: Vec::new(),
            seen: HashSet::default(),
            refused: 0,
            most,
        }
    }

    /// Where samples of this family go. A family that is there already keeps its type and its help.
    pub fn family(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        kind: Type,
        help: &str,
    ) -> Samples<'_> {
        let name = name.into();
        let known = self.places.get(&name).copied();
        let place = known.or_else(|| is_name(&name, true).then(|| self.begin(name, kind, help)));
        Samples {
            families: self,
            place,
        }
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: impl Into<Cow<'static, str>>, help: &str, value: f64) {
        self.family(name, Type::Gauge, help).put(&[], value);
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: impl Into<Cow<'static, str>>, help: &str, value: f64) {
        self.family(name, Type::Counter, help).put(&[], value);
    }

    /// Takes over what was put elsewhere, under the same conditions.
    pub fn append(&mut self, other: Self) {
        self.refused += other.refused;
        // Where the other's text comes to lie.
        let offset = self.text.bytes().len();
        self.text.copy(other.text.bytes());
        let moved = |range: Range<usize>| range.start + offset..range.end + offset;
        self.lines.reserve(other.lines.len());
        self.seen.reserve(other.lines.len());
        let mut places = Vec::with_capacity(other.list.len());
        for family in other.list {
            let known = self.places.get(&family.name).copied();
            places.push(known.unwrap_or_else(|| self.place(family.name, moved(family.head))));
        }
        for line in other.lines {
            if let Some(family) = places.get(line.family)
                && self.is_new(line.hash)
            {
                self.add(*family, line.hash, moved(line.text));
            } else {
                self.refused += 1;
            }
        }
    }

    /// Lines that were left out.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Names of what has samples, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let told = self.list.iter().filter(|family| family.lines > 0);
        told.map(|family| &*family.name)
    }

    /// The exposition, in the order of the names.
    #[must_use]
    pub fn into_text(self) -> Vec<u8> {
        let mut sorted: Vec<(usize, &Family)> = self.list.iter().enumerate().collect();
        sorted.sort_unstable_by(|(_, one), (_, other)| one.name.cmp(&other.name));
        let mut ranks = vec![0; self.list.len()];
        for (rank, (place, _)) in sorted.iter().enumerate() {
            if let Some(of) = ranks.get_mut(*place) {
                *of = rank;
            }
        }
        let mut lines = self.lines;
        // Stable: samples of a family stay in their order.
        lines.sort_by_key(|line| ranks.get(line.family).copied());
        let mut lines = lines.into_iter().peekable();
        let written = self.text.bytes();
        let mut text = Vec::with_capacity(written.len());
        for (place, family) in sorted {
            if family.lines > 0 {
                text.extend_from_slice(written.get(family.head.clone()).unwrap_or_default());
            }
            while let Some(line) = lines.next_if(|line| line.family == place) {
                text.extend_from_slice(written.get(line.text).unwrap_or_default());
            }
        }
        text
    }

    fn begin(&mut self, name: Cow<'static, str>, kind: Type, help: &str) -> usize {
        let start = self.text.bytes().len();
        self.text.head(&name, help, kind.name());
        self.place(name, start..self.text.bytes().len())
    }

    fn place(&mut self, name: Cow<'static, str>, head: Range<usize>) -> usize {
        let place = self.list.len();
        self.places.insert(name.clone(), place);
        self.list.push(Family {
            name,
            head,
            lines: 0,
        });
        place
    }

    /// Whether a line may be added; it is then taken for added.
    fn is_new(&mut self, hash: u64) -> bool {
        self.lines.len() < self.most && self.seen.insert(hash)
    }

    fn add(&mut self, family: usize, hash: u64, text: Range<usize>) {
        if let Some(of) = self.list.get_mut(family) {
            of.lines += 1;
        }
        self.lines.push(Line { family, hash, text });
    }
}

// === impl Samples ===

impl Samples<'_> {
    /// A sample; labels in the order in which they shall stand.
    pub fn put(&mut self, labels: &[(&str, &str)], value: f64) {
        self.put_as("", labels, value);
    }

    /// A sample whose name ends in `_bucket`, `_sum` or `_count`.
    pub fn put_as(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        if !self.write(suffix, labels, value) {
            self.families.refused += 1;
        }
    }

    fn write(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) -> bool {
        let families = &mut *self.families;
        let Some(place) = self.place else {
            return false;
        };
        let Some(family) = families.list.get(place) else {
            return false;
        };
        if !labels.iter().all(|(label, _)| is_name(label, false)) {
            return false;
        }
        let hash = FixedState::default().hash_one((&family.name, suffix, labels));
        let start = families.text.bytes().len();
        // Written at once, so that the name need not be copied; taken back where it is not new.
        families.text.line(&family.name, suffix, labels, value);
        if !families.is_new(hash) {
            families.text.cut(start);
            return false;
        }
        let end = families.text.bytes().len();
        families.add(place, hash, start..end);
        true
    }
}

/// Whether Prometheus takes it as the name of a metric, or else of a label.
fn is_name(name: &str, colons: bool) -> bool {
    let mut bytes = name.bytes();
    let is_letter =
        |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (colons && byte == b':');
    bytes.next().is_some_and(is_letter)
        && bytes.all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(families: Families) -> String {
        String::from_utf8(families.into_text()).unwrap()
    }

    #[test]
    fn families_come_in_the_order_of_their_names_with_their_samples_together() {
        let mut families = Families::default();
        let mut second = families.family("b_total", Type::Counter, "Two\\\nlines.");
        second.put(&[("x", "1")], 1.0);
        families.gauge("a", "A.", 0.5);
        let mut second = families.family("b_total", Type::Gauge, "Another.");
        second.put(&[("x", "\"2\""), ("y", "\n")], 1e9);
        families.family("c", Type::Untyped, "Nobody has any.");
        assert_eq!(
            text(families),
            "# HELP a A.\n# TYPE a gauge\na 0.5\n\
             # HELP b_total Two\\\\\\nlines.\n# TYPE b_total counter\n\
             b_total{x=\"1\"} 1\nb_total{x=\"\\\"2\\\"\",y=\"\\n\"} 1000000000\n"
        );
    }

    #[test]
    fn what_would_cost_the_scrape_is_left_out_and_counted() {
        let mut families = Families::with_limit(3);
        families.gauge("", "No name.", 1.0);
        families.gauge("9lives", "A digit first.", 1.0);
        families.gauge("Active(anon)", "A bracket.", 1.0);
        assert_eq!(families.refused(), 3);
        families.gauge("a", "A.", 1.0);
        families.gauge("a", "Again.", 2.0);
        families
            .family("b", Type::Gauge, "B.")
            .put(&[("a:b", "")], 1.0);
        assert_eq!(families.refused(), 5);
        families.gauge("b", "B.", 1.0);
        families.gauge("c", "C.", 1.0);
        families.gauge("d", "Past the limit.", 1.0);
        assert_eq!(families.refused(), 6);
        assert_eq!(families.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn what_was_put_apart_is_joined() {
        let (mut one, mut two) = (Families::with_limit(4), Families::default());
        one.family("a", Type::Gauge, "A.").put(&[("x", "1")], 1.0);
        let mut apart = two.family("a", Type::Counter, "Another.");
        apart.put(&[("x", "1")], 7.0);
        apart.put(&[("x", "2")], 2.0);
        for name in ["b", "c", "d"] {
            two.gauge(name, "Another.", 3.0);
        }
        one.append(two);
        assert_eq!(one.refused(), 2, "x=1 stands twice, d has no room");
        assert_eq!(one.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(
            text(one),
            "# HELP a A.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\n\
             # HELP b Another.\n# TYPE b gauge\nb 3\n\
             # HELP c Another.\n# TYPE c gauge\nc 3\n"
        );
    }

    #[test]
    fn a_histogram_has_lines_of_other_names() {
        let mut families = Families::default();
        let mut samples = families.family("a", Type::Histogram, "A.");
        samples.put_as("_bucket", &[("le", "+Inf")], 1.0);
        samples.put_as("_sum", &[], 0.1);
        samples.put_as("_count", &[], 1.0);
        assert!(text(families).ends_with("a_bucket{le=\"+Inf\"} 1\na_sum 0.1\na_count 1\n"));
    }
}
