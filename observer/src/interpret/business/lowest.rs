//! The lowest of many sums, told apart from the rest at every moment.
//!
//! ```text
//!   kept (at most `limit`)     rest
//!   ├── 0  0  1  3  7 ──┤├── 7  9  12  40 … ──┤      one change moves at most one across
//! ```
//!
//! Of equal sums the one that was there first is the lower, so that a tie is always decided the
//! same way. A change costs the logarithm of how many there are.

use std::collections::BTreeMap;

/// Where a sum stands among the others: the sum, and its number in order of arrival.
pub(super) type Place = (i128, u64);

/// The sums, in two ordered sets.
#[derive(Debug)]
pub(super) struct Lowest<T> {
    limit: usize,
    kept: BTreeMap<Place, T>,
    /// Empty while there is room among the kept.
    rest: BTreeMap<Place, T>,
}

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved<T> {
    /// Whether what changed is among the lowest now.
    pub(super) is_kept: bool,
    /// Another one that is among them now, and was not.
    pub(super) promoted: Option<T>,
    /// Another one that is not any more.
    pub(super) demoted: Option<T>,
}

impl<T: Clone> Lowest<T> {
    /// None of them yet; the `limit` lowest are kept.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: BTreeMap::new(),
            rest: BTreeMap::new(),
        }
    }

    /// One came, changed or went: from a place, to a place.
    pub(super) fn change(&mut self, from: Option<Place>, to: Option<Place>, what: &T) -> Moved<T> {
        if let Some(from) = from
            && self.kept.remove(&from).is_none()
        {
            self.rest.remove(&from);
        }
        let mut moved = Moved {
            is_kept: to.is_some_and(|to| self.belongs(to)),
            promoted: None,
            demoted: None,
        };
        if let Some(to) = to {
            let side = if moved.is_kept {
                &mut self.kept
            } else {
                &mut self.rest
            };
            side.insert(to, what.clone());
        }
        if self.kept.len() > self.limit {
            if let Some((place, demoted)) = self.kept.pop_last() {
                self.rest.insert(place, demoted.clone());
                moved.demoted = Some(demoted);
            }
        } else if self.kept.len() < self.limit
            && let Some((place, promoted)) = self.rest.pop_first()
        {
            self.kept.insert(place, promoted.clone());
            moved.promoted = Some(promoted);
        }
        moved
    }

    /// Whether one that is not there yet would be among the lowest.
    fn belongs(&self, place: Place) -> bool {
        if self.kept.len() < self.limit {
            let first = self.rest.first_key_value();
            first.is_none_or(|(first, _)| place < *first)
        } else {
            let last = self.kept.last_key_value();
            last.is_some_and(|(last, _)| place < *last)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_lowest_are_those_that_sorting_finds(
            limit in 0_usize..5,
            changes in proptest::collection::vec((0_u64..9, proptest::option::of(0_i128..4)), 0..80),
        ) {
            let mut lowest = Lowest::new(limit);
            let mut all = BTreeMap::<u64, i128>::new();
            let mut kept = Vec::new();
            for (number, sum) in changes {
                let from = all.get(&number).map(|sum| (*sum, number));
                match sum {
                    Some(sum) => all.insert(number, sum),
                    None => all.remove(&number),
                };
                let moved = lowest.change(from, sum.map(|sum| (sum, number)), &number);
                let mut places: Vec<Place> = all.iter().map(|(number, sum)| (*sum, *number)).collect();
                places.sort_unstable();
                let now: Vec<u64> = places.iter().take(limit).map(|(_, number)| *number).collect();
                prop_assert_eq!(moved.is_kept, now.contains(&number));
                // What moved is all that moved.
                kept.retain(|one| *one != number && Some(*one) != moved.demoted);
                kept.extend(moved.promoted);
                kept.extend(moved.is_kept.then_some(number));
                kept.sort_unstable();
                let mut sorted = now.clone();
                sorted.sort_unstable();
                prop_assert_eq!(&kept, &sorted);
            }
        }
    }

    #[test]
    fn of_equal_sums_the_first_is_kept() {
        let mut lowest = Lowest::new(1);
        assert!(lowest.change(None, Some((5, 0)), &'a').is_kept);
        assert!(!lowest.change(None, Some((5, 1)), &'b').is_kept);
        let moved = lowest.change(Some((5, 0)), Some((6, 0)), &'a');
        assert_eq!((moved.is_kept, moved.promoted), (false, Some('b')));
    }
}
