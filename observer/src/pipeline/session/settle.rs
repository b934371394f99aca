//! The books of a conversation; the contract is that of [`Fed`].

use crate::decode::{Fed, Lost};
use crate::ledger::{Fate, Ledger};
use crate::reassemble::{Cause, Input};

/// Settles an input. `held` is what the decoder held before it and becomes what it holds now.
pub(super) fn settle(ledger: &Ledger, input: &Input<'_>, fed: Fed, held: &mut u64, now: u64) {
    let counted = match input {
        Input::Bytes(_) | Input::Hole(_, Cause::Budget | Cause::Shed) => input.length(),
        Input::Hole(_, Cause::Record) => 0,
    };
    let sum = *held + counted;
    let is_shed = matches!(input, Input::Hole(_, Cause::Shed));
    let (lost, why) = match fed.lost {
        Some((Lost::Budget, bytes)) if is_shed => (bytes.min(sum), Fate::LostShed),
        Some((why, bytes)) => (bytes.min(sum), fate(why)),
        None => (0, Fate::Decoded),
    };
    let skipped = match input {
        Input::Hole(_, Cause::Budget | Cause::Shed) => {
            (counted - lost.min(counted)).min(sum - lost)
        }
        _ => 0,
    };
    let passed_over = if is_shed {
        Fate::SkippedShed
    } else {
        Fate::SkippedBudget
    };
    // A decoder that claims to hold more than there is holds what there is.
    let now = now.min(sum - lost - skipped);
    ledger.release(*held);
    ledger.hold(now);
    for (fate, bytes) in [
        (why, lost),
        (passed_over, skipped),
        (Fate::Decoded, sum - lost - skipped - now),
    ] {
        if bytes > 0 {
            ledger.settle(fate, bytes);
        }
    }
    *held = now;
}

/// What is counted where a decoder is out of step.
const fn fate(lost: Lost) -> Fate {
    match lost {
        Lost::Joined => Fate::SkippedJoined,
        Lost::Budget => Fate::LostBudget,
        Lost::Hole => Fate::LostHole,
        Lost::Malformed => Fate::LostMalformed,
        Lost::TooLong => Fate::LostTooLong,
        Lost::Upgraded => Fate::SkippedUpgraded,
        Lost::Http2 => Fate::SkippedHttp2,
        Lost::Tls => Fate::SkippedTls,
    }
}

#[cfg(test)]
mod tests {
    use super::Fate::{
        Decoded, LostBudget, LostHole, LostMalformed, LostShed, SkippedBudget, SkippedJoined,
        SkippedShed,
    };
    use super::*;

    const BYTES: Input<'_> = Input::Bytes(&[0; 100]);
    const BUDGET: Input<'_> = Input::Hole(100, Cause::Budget);
    const SHED: Input<'_> = Input::Hole(100, Cause::Shed);
    const RECORD: Input<'_> = Input::Hole(100, Cause::Record);
    const NONE: Fed = Fed { lost: None };

    const fn lost(why: Lost, bytes: u64) -> Fed {
        Fed {
            lost: Some((why, bytes)),
        }
    }

    /// Held before, the input, what the decoder said, held after; what becomes of the bytes.
    fn becomes(before: u64, input: Input<'_>, fed: Fed, now: u64, expected: &[(Fate, u64)]) {
        let ledger = Ledger::default();
        let counted = match input {
            Input::Hole(_, Cause::Record) => 0,
            _ => 100,
        };
        ledger.receive(before + counted);
        ledger.hold(before);
        let mut held = before;
        settle(&ledger, &input, fed, &mut held, now);
        assert_eq!(ledger.imbalance(), 0);
        assert_eq!(ledger.pending(), held);
        let settled = Fate::ALL.iter().map(|fate| (*fate, ledger.settled(*fate)));
        let settled: Vec<_> = settled.filter(|(_, bytes)| *bytes > 0).collect();
        assert_eq!(settled, expected);
    }

    #[test]
    fn what_is_neither_lost_nor_held_is_decoded() {
        becomes(0, BYTES, NONE, 0, &[(Decoded, 100)]);
        becomes(0, BYTES, NONE, 30, &[(Decoded, 70)]);
        becomes(30, BYTES, NONE, 130, &[]);
        becomes(30, BYTES, NONE, 0, &[(Decoded, 130)]);
    }

    #[test]
    fn what_was_held_can_be_given_up() {
        let all = lost(Lost::Malformed, 130);
        becomes(30, BYTES, all, 0, &[(LostMalformed, 130)]);
        let some = lost(Lost::Malformed, 80);
        becomes(30, BYTES, some, 10, &[(Decoded, 40), (LostMalformed, 80)]);
    }

    #[test]
    fn a_hole_of_the_budget_is_skipped_in_a_body_and_lost_where_it_hid_a_head() {
        becomes(0, BUDGET, NONE, 0, &[(SkippedBudget, 100)]);
        let past = lost(Lost::Budget, 60);
        becomes(0, BUDGET, past, 0, &[(SkippedBudget, 40), (LostBudget, 60)]);
        becomes(30, BUDGET, lost(Lost::Budget, 130), 0, &[(LostBudget, 130)]);
    }

    #[test]
    fn what_was_shed_is_told_from_what_the_budget_spared() {
        becomes(0, SHED, NONE, 0, &[(SkippedShed, 100)]);
        let past = lost(Lost::Budget, 60);
        becomes(0, SHED, past, 0, &[(SkippedShed, 40), (LostShed, 60)]);
        becomes(0, SHED, lost(Lost::Joined, 100), 0, &[(SkippedJoined, 100)]);
    }

    #[test]
    fn a_lost_record_is_the_kernels_to_count_but_not_what_was_held_before_it() {
        becomes(0, RECORD, NONE, 0, &[]);
        becomes(30, RECORD, lost(Lost::Hole, 130), 0, &[(LostHole, 30)]);
    }

    #[test]
    fn a_claim_beyond_what_there_is_counts_for_what_there_is() {
        becomes(0, BYTES, lost(Lost::Hole, 900), 900, &[(LostHole, 100)]);
        becomes(0, BYTES, NONE, 900, &[]);
    }
}
