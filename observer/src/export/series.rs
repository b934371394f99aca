//! A label set and its number.
#![forbid(unsafe_code)]

use prometheus::core::Metric as _;
use prometheus::{Counter, Gauge, Histogram, HistogramOpts, IntCounter, Opts, proto};

use super::catalog::{Kind, LABEL_LIMIT, Row};
use super::symbols::Symbol;

/// The symbols of a label set, packed so that looking it up hashes three words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Key([u64; LABEL_LIMIT / 2]);

impl Key {
    /// The key of a label set; positions past [`LABEL_LIMIT`] do not exist.
    #[inline]
    pub(super) fn new(labels: &[Symbol]) -> Self {
        let mut key = Self::default();
        for (word, pair) in key.0.iter_mut().zip(labels.chunks(2)) {
            for (place, symbol) in pair.iter().enumerate() {
                *word |= u64::from(symbol.number()) << (32 * place);
            }
        }
        key
    }

    pub(super) fn get(self, position: usize) -> Symbol {
        let word = self.0.get(position / 2).copied().unwrap_or(0);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the half of a word is the symbol"
        )]
        Symbol::from_number((word >> (32 * (position % 2))) as u32)
    }

    /// The same label set with another value at a position.
    pub(super) fn with(mut self, position: usize, symbol: Symbol) -> Self {
        if let Some(word) = self.0.get_mut(position / 2) {
            let shift = 32 * (position % 2);
            *word = *word & !(0xffff_ffff << shift) | u64::from(symbol.number()) << shift;
        }
        self
    }
}

/// Where the number is. A clone is the same number.
#[derive(Clone, Debug)]
pub(super) enum Handle {
    Counter(Counter),
    Money(IntCounter),
    Gauge(Gauge),
    Level(Gauge),
    Histogram(Histogram),
}

impl Handle {
    pub(super) fn new<M>(row: &Row<M>) -> prometheus::Result<Self> {
        Ok(match row.kind {
            Kind::Counter => Self::Counter(Counter::with_opts(Opts::new(row.name, row.help))?),
            Kind::Money => Self::Money(IntCounter::with_opts(Opts::new(row.name, row.help))?),
            Kind::Gauge => Self::Gauge(Gauge::with_opts(Opts::new(row.name, row.help))?),
            Kind::Level => Self::Level(Gauge::with_opts(Opts::new(row.name, row.help))?),
            Kind::Histogram(bounds) => Self::Histogram(Histogram::with_opts(
                HistogramOpts::new(row.name, row.help).buckets(bounds.to_vec()),
            )?),
        })
    }

    /// Takes a fact's value, which is finite, and not negative for a counter.
    #[inline]
    pub(super) fn take(&self, value: f64) {
        match self {
            Self::Counter(counter) => counter.inc_by(value),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a fact's amount is a whole number that is not negative"
            )]
            // It stays at its most rather than begin again. Nobody else adds to it meanwhile.
            Self::Money(counter) => {
                counter.inc_by((value as u64).min(u64::MAX - counter.get()));
            }
            Self::Gauge(gauge) => gauge.add(value),
            Self::Level(gauge) => gauge.set(value),
            Self::Histogram(histogram) => histogram.observe(value),
        }
    }

    /// What a scrape shows; a histogram's buckets, sum and count belong together.
    pub(super) fn read(&self) -> proto::Metric {
        match self {
            Self::Counter(counter) => counter.metric(),
            Self::Money(counter) => counter.metric(),
            Self::Gauge(gauge) | Self::Level(gauge) => gauge.metric(),
            Self::Histogram(histogram) => histogram.metric(),
        }
    }

    /// How much was counted, or how often measured; 0 for a gauge.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Counter(counter) => whole(counter.get()),
            Self::Money(_) | Self::Gauge(_) | Self::Level(_) => 0,
            Self::Histogram(histogram) => histogram.get_sample_count(),
        }
    }

    /// Adds a histogram's buckets, that without a bound last, to the sums; how often it measured.
    pub(super) fn add_buckets(&self, sums: &mut Vec<u64>) -> u64 {
        let Self::Histogram(histogram) = self else {
            return 0;
        };
        let metric = histogram.metric();
        let histogram = metric.get_histogram();
        let count = histogram.get_sample_count();
        let buckets = histogram
            .get_bucket()
            .iter()
            .map(proto::Bucket::cumulative_count);
        for (place, below) in buckets.chain([count]).enumerate() {
            match sums.get_mut(place) {
                Some(sum) => *sum += below,
                None => sums.push(below),
            }
        }
        count
    }

    /// The whole number of a sum of money; `None` for anything else.
    pub(super) fn money(&self) -> Option<u64> {
        match self {
            Self::Money(counter) => Some(counter.get()),
            _ => None,
        }
    }

    /// The number of a counting gauge; `None` for anything else.
    pub(super) fn balance(&self) -> Option<f64> {
        match self {
            Self::Gauge(gauge) => Some(gauge.get()),
            Self::Counter(_) | Self::Money(_) | Self::Level(_) | Self::Histogram(_) => None,
        }
    }
}

/// A counter's value: facts count in whole numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a counter is not negative, and exact below 2^53"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// A label set as scrapes see it.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) key: Key,
    /// `name="value",…`, escaped once.
    pub(super) labels: Box<str>,
    pub(super) handle: Handle,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(numbers: &[u32]) -> Vec<Symbol> {
        numbers.iter().copied().map(Symbol::from_number).collect()
    }

    #[test]
    fn a_key_gives_back_every_symbol() {
        let labels = symbols(&[1, u32::MAX, 3, 0, 5, 6]);
        let key = Key::new(&labels);
        for (position, symbol) in labels.iter().enumerate() {
            assert_eq!(key.get(position), *symbol);
        }
    }

    #[test]
    fn a_sum_of_money_stays_at_its_most() {
        let mut rows = crate::export::catalog::CATALOG.iter();
        let money = rows.find(|row| row.kind == Kind::Money).unwrap();
        let sum = Handle::new(money).unwrap();
        sum.take(2_f64.powi(64) - 4096.0);
        sum.take(4000.0);
        assert!(sum.money() < Some(u64::MAX));
        for _ in 0..2 {
            sum.take(10_000.0);
            assert_eq!(sum.money(), Some(u64::MAX));
        }
    }

    #[test]
    fn replacing_a_symbol_leaves_the_others() {
        let key = Key::new(&symbols(&[9, 8, 7, 6, 5, 4])).with(3, Symbol::OTHER);
        assert_eq!(key, Key::new(&symbols(&[9, 8, 7, 1, 5, 4])));
    }

    #[test]
    fn label_sets_that_concatenate_alike_differ() {
        assert_ne!(Key::new(&symbols(&[1, 2])), Key::new(&symbols(&[2, 1])));
        assert_ne!(Key::new(&symbols(&[0, 1])), Key::new(&symbols(&[1])));
    }
}
