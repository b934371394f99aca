//! The last ten seconds, a sample a second: rates, and when an error was last seen.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::Rates;
use crate::time::Timestamp;

/// Samples that are kept: the ends of ten intervals.
const SAMPLES: usize = 11;

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) requests: u64,
    pub(super) executions: u64,
    pub(super) commands: u64,
    pub(super) lost_bytes: u64,
}

/// An error's stage and kind, and how often it happened.
pub(super) type Count = (&'static str, &'static str, u64);

/// Bounded by [`SAMPLES`] and by how many kinds of errors there are.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: VecDeque<(Timestamp, Totals)>,
    errors: Vec<(Count, Timestamp)>,
}

impl History {
    pub(super) fn push(&mut self, now: Timestamp, totals: Totals) {
        if self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now, totals));
    }

    /// Per second, between the oldest sample and the newest.
    pub(super) fn rates(&self) -> Rates {
        let (Some((start, before)), Some((end, now))) = (self.samples.front(), self.samples.back())
        else {
            return Rates::default();
        };
        let seconds = end.seconds_since(*start);
        if seconds <= 0.0 {
            return Rates::default();
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "ten seconds' worth is below 2^53"
        )]
        let rate = |of: fn(&Totals) -> u64| of(now).saturating_sub(of(before)) as f64 / seconds;
        Rates {
            seconds,
            records: rate(|totals| totals.records),
            bytes: rate(|totals| totals.bytes),
            requests: rate(|totals| totals.requests),
            executions: rate(|totals| totals.executions),
            commands: rate(|totals| totals.commands),
            lost_bytes: rate(|totals| totals.lost_bytes),
        }
    }

    /// Takes the errors as of now.
    pub(super) fn note(&mut self, now: Timestamp, errors: &[Count]) {
        for (stage, kind, count) in errors {
            let known = self
                .errors
                .iter_mut()
                .find(|((s, k, _), _)| s == stage && k == kind);
            match known {
                Some(((_, _, before), last)) if *before != *count => {
                    (*before, *last) = (*count, now);
                }
                None if *count > 0 => self.errors.push(((stage, kind, *count), now)),
                Some(_) | None => {}
            }
        }
    }

    /// When an error last happened.
    pub(super) fn last(&self, stage: &str, kind: &str) -> Option<Timestamp> {
        let mut errors = self.errors.iter();
        let (_, last) = errors.find(|((s, k, _), _)| *s == stage && *k == kind)?;
        Some(*last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn after(seconds: u64) -> Timestamp {
        Timestamp(seconds * SECOND)
    }

    fn requests(requests: u64) -> Totals {
        Totals {
            requests,
            ..Totals::default()
        }
    }

    #[test]
    fn a_rate_is_taken_over_the_last_ten_seconds() {
        let mut history = History::default();
        assert_eq!(history.rates(), Rates::default());
        history.push(after(0), requests(1000));
        assert_eq!(history.rates(), Rates::default(), "one sample has no rate");
        for second in 1..=20 {
            history.push(after(second), requests(1000 + second * second));
        }
        assert_eq!(history.samples.len(), SAMPLES);
        let rates = history.rates();
        assert!((rates.seconds - 10.0).abs() < 1e-9);
        assert!((rates.requests - f64::from(400 - 100) / 10.0).abs() < 1e-9);
    }

    #[test]
    fn an_error_was_last_seen_when_its_count_last_rose() {
        let mut history = History::default();
        let error = |count| [("http", "accept", count), ("http", "busy", 0)];
        for (second, count) in [(1, 0), (2, 3), (3, 3), (4, 5), (5, 5)] {
            history.note(after(second), &error(count));
        }
        assert_eq!(history.last("http", "accept"), Some(after(4)));
        assert_eq!(history.last("http", "busy"), None);
    }
}
