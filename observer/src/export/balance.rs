//! Closes the ledger: `seen = decoded + skipped + lost + pending`, at every scrape.
//!
//! The sums move while they are read, so the order of reading is the proof. A byte is counted on
//! its way down: seen by the kernel, then dropped by it or received by a worker, then settled.
//! Read upwards, last sums first, and a sum may only have grown by what the ones before it missed:
//!
//! ```text
//!   read last    kernel: seen            ─┐
//!                kernel: skipped, lost    ├ in the ring = seen − skipped − lost − received
//!                worker: received        ─┤
//!   read first   worker: settled         ─┴ held by a stage = received − settled
//!                                           pending = in the ring + held
//! ```
//!
//! `received` cancels out, so pending is what is left of seen. It is signed on purpose: were it
//! ever negative, a stage has settled a byte twice, and that must show.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use observer_ebpf::{COUNTERS, Counter, Outcome};

use crate::ledger::{Fate, Ledger};

/// The ledger at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Outcome, stage, reason, bytes; no label set twice.
    pub rows: Vec<(&'static str, &'static str, &'static str, u64)>,
    /// Seen and in no other row.
    pub pending: i64,
}

impl Balance {
    /// Reads all sums in the order that keeps the ledger closed.
    pub fn read(ledgers: &[Arc<Ledger>], mut kernel: impl FnMut(Counter) -> u64) -> Self {
        let mut rows = Vec::with_capacity(Fate::ALL.len() + COUNTERS.len());
        let mut decided = 0_u64;
        for fate in Fate::ALL {
            let (outcome, stage, reason) = fate.labels();
            let bytes = ledgers.iter().map(|ledger| ledger.settled(*fate)).sum();
            decided = decided.saturating_add(bytes);
            rows.push((outcome, stage, reason, bytes));
        }
        // No load of the kernel's sums may move above those of ours.
        fence(Ordering::SeqCst);
        // What is first in the table is read last: seen.
        let mut seen = 0_u64;
        for row in COUNTERS.iter().rev() {
            let outcome = match row.outcome {
                Outcome::Seen => "seen",
                Outcome::Skipped => "skipped",
                Outcome::Lost => "lost",
                Outcome::Count => continue,
            };
            let bytes = kernel(row.counter);
            rows.push((outcome, "kernel", row.reason, bytes));
            if row.outcome == Outcome::Seen {
                seen = seen.saturating_add(bytes);
            } else {
                decided = decided.saturating_add(bytes);
            }
        }
        let pending = i128::from(seen) - i128::from(decided);
        Self {
            rows,
            pending: i64::try_from(pending).unwrap_or(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicBool, AtomicU64};

    use super::*;

    fn sum(balance: &Balance, outcome: &str) -> u64 {
        let rows = balance.rows.iter().filter(|row| row.0 == outcome);
        rows.map(|row| row.3).sum()
    }

    #[test]
    fn seen_is_read_last() {
        assert_eq!(COUNTERS[0].outcome, Outcome::Seen);
        let mut order = Vec::new();
        Balance::read(&[], |counter| {
            order.push(counter);
            0
        });
        assert_eq!(order.last(), Some(&Counter::SeenBytes));
    }

    #[test]
    fn no_label_set_stands_twice() {
        let balance = Balance::read(&[], |_| 0);
        let rows = balance.rows.iter().map(|row| (row.0, row.1, row.2));
        assert_eq!(rows.collect::<HashSet<_>>().len(), balance.rows.len());
    }

    #[test]
    fn pending_is_what_no_one_has_decided() {
        let (one, two) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
        one.receive(100);
        one.settle(Fate::Decoded, 60);
        two.receive(50);
        two.settle(Fate::LostHole, 7);
        let kernel = |counter| match counter {
            Counter::SeenBytes => 1000,
            Counter::SkippedTls => 200,
            Counter::LostRing => 30,
            Counter::RecordsSubmitted => 12345,
            _ => 0,
        };
        let balance = Balance::read(&[one, two], kernel);
        assert_eq!(sum(&balance, "seen"), 1000);
        assert_eq!(sum(&balance, "decoded"), 60);
        assert_eq!(sum(&balance, "skipped"), 200);
        assert_eq!(sum(&balance, "lost"), 37);
        assert_eq!(balance.pending, 1000 - 200 - 30 - 60 - 7);
    }

    #[test]
    fn a_byte_settled_twice_shows() {
        let ledger = Arc::new(Ledger::default());
        ledger.settle(Fate::Decoded, 11);
        assert_eq!(Balance::read(&[ledger], |_| 0).pending, -11);
    }

    #[test]
    fn it_closes_while_bytes_flow() {
        let (seen, skipped) = (AtomicU64::new(0), AtomicU64::new(0));
        let ledger = Arc::new(Ledger::default());
        let stop = AtomicBool::new(false);
        let kernel = |counter| match counter {
            Counter::SeenBytes => seen.load(Ordering::SeqCst),
            Counter::SkippedOther => skipped.load(Ordering::SeqCst),
            _ => 0,
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    seen.fetch_add(100, Ordering::SeqCst);
                    skipped.fetch_add(10, Ordering::SeqCst);
                    ledger.receive(90);
                    ledger.settle(Fate::Decoded, 80);
                    ledger.settle(Fate::SkippedBudget, 10);
                }
            });
            for _ in 0..2000 {
                let balance = Balance::read(&[Arc::clone(&ledger)], kernel);
                let decided = ["decoded", "skipped", "lost"].map(|outcome| sum(&balance, outcome));
                let decided: u64 = decided.iter().sum();
                assert!(balance.pending >= 0, "{balance:?}");
                assert_eq!(
                    i128::from(sum(&balance, "seen")),
                    i128::from(decided) + i128::from(balance.pending)
                );
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(Balance::read(&[ledger], kernel).pending, 0);
    }
}
