//! Requests that a workload serves and passes on, so that what they mean counts once: where they
//! end.
//!
//! ```text
//!   client ──▶ gateway ──▶ backend      the gateway's own request lies within the one it serves
//!     |──────────────────────|
//!           |──────────|
//! ```
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use crate::correlate::http::Exchange;
use crate::time::Timestamp;

/// A request, as whoever passes it on repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relay {
    /// The workload at whose end it was seen.
    cgroup: u64,
    method: Box<str>,
    path: Box<str>,
    began: Timestamp,
    ended: Timestamp,
}

impl Relay {
    pub(super) fn new(cgroup: u64, exchange: &Exchange) -> Self {
        Self {
            cgroup,
            method: exchange.request.method.as_str().into(),
            path: exchange.request.path.as_str().into(),
            began: exchange.began,
            ended: exchange.ended,
        }
    }

    /// Whether the other is this one, passed on.
    fn covers(&self, other: &Self) -> bool {
        self.cgroup == other.cgroup
            && self.began <= other.began
            && other.ended <= self.ended
            && self.method == other.method
            && self.path == other.path
    }
}

/// Requests that workloads made of others whose end is observed; of so many the oldest goes first.
pub(super) struct Relays {
    made: VecDeque<Relay>,
    limit: usize,
}

impl Relays {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            made: VecDeque::new(),
            limit,
        }
    }

    /// A workload made a request, which may be one that it serves.
    pub(super) fn made(&mut self, relay: Relay) {
        if relay.cgroup == 0 || self.limit == 0 {
            return;
        }
        if self.made.len() >= self.limit {
            self.made.pop_front();
        }
        self.made.push_back(relay);
    }

    /// Whether a request that a workload served was passed on: each was, at most once.
    pub(super) fn passed_on(&mut self, served: &Relay) -> bool {
        let found = self.made.iter().position(|made| served.covers(made));
        found.is_some_and(|at| self.made.remove(at).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(cgroup: u64, path: &str, began: u64, ended: u64) -> Relay {
        Relay {
            cgroup,
            method: "POST".into(),
            path: path.into(),
            began: Timestamp(began),
            ended: Timestamp(ended),
        }
    }

    #[test]
    fn a_request_is_passed_on_by_one_within_it_of_the_same_workload_and_path() {
        for (made, passed) in [
            (relay(1, "/pay", 11, 19), true),
            (relay(1, "/pay", 10, 20), true),
            (relay(1, "/pay", 9, 19), false),
            (relay(1, "/pay", 11, 21), false),
            (relay(2, "/pay", 11, 19), false),
            (relay(1, "/paid", 11, 19), false),
        ] {
            let mut relays = Relays::new(10);
            relays.made(made.clone());
            let served = relay(1, "/pay", 10, 20);
            assert_eq!(relays.passed_on(&served), passed, "{made:?}");
            assert!(!relays.passed_on(&served), "each was passed on once");
        }
    }

    #[test]
    fn requests_that_were_made_are_remembered_in_a_bounded_number() {
        let mut relays = Relays::new(2);
        for began in 11..14 {
            relays.made(relay(1, "/pay", began, began));
        }
        let served = relay(1, "/pay", 10, 20);
        let passed = std::iter::repeat_with(|| relays.passed_on(&served)).take(3);
        assert_eq!(passed.collect::<Vec<_>>(), [true, true, false]);
        let mut none = Relays::new(2);
        none.made(relay(0, "/pay", 11, 19));
        assert!(
            !none.passed_on(&relay(0, "/pay", 10, 20)),
            "whose they are is not known"
        );
    }
}
