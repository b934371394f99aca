//! Which bytes of a received segment are new.
//!
//! TCP has not looked at the segment yet, may be busy with an earlier one, and may hold later ones
//! out of order; so what it has accepted is not the whole truth, and what was counted is remembered
//! here:
//!
//! ```text
//!   accepted by TCP │ counted │ gap │ counted │ next          window
//!   ────────────────┼─────────┼·····┼─────────┼··············─ ─ ─ ─
//!                   ▲ rcv_nxt                 ▲ next
//! ```
#![expect(
    clippy::inline_always,
    reason = "runs under a spin lock of the kernel, where nothing may be called"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "gaps are kept by the low halves of their positions, compared by wrapping differences"
)]

/// Gaps a socket can remember.
const GAPS: usize = 10;

/// A stretch that has not come yet, between two that have.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Gap {
    /// Low half of the position where it begins.
    start: u32,
    /// Low half of the position behind it; equal to `start` where there is no gap.
    end: u32,
}

/// What of a direction was counted: everything below `next` but the gaps.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Received {
    /// Position behind the furthest byte counted.
    pub next: u64,
    /// TCP sequence number of position 0.
    pub first: u32,
    /// How many gaps may be open.
    open: u32,
    gaps: [Gap; GAPS],
}

/// The part of a segment that was never counted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Position of its first byte.
    pub start: u64,
    /// Its bytes; 0 where all of the segment is known.
    pub length: u32,
    /// Bytes that have to be given up, now and for good, to keep the books exact.
    pub lost: u32,
}

impl Received {
    /// Counts the stretch from `start` to `end` where it is simply what comes next; false, and
    /// nothing is changed, where it is not, and [`Self::claim`] has to look closer.
    #[inline(always)]
    pub fn advance(&mut self, start: u64, end: u64, accepted: u64) -> bool {
        let simple = start == self.next && accepted <= start && self.open == 0;
        if simple {
            self.next = end;
        }
        simple
    }

    /// Counts the stretch from `start` to `end`, and tells what of it is new. `accepted` is the
    /// position up to which TCP has taken everything; both lie less than 1 GiB from `next`.
    ///
    /// Calls nothing, so that it may run under a spin lock.
    #[inline(always)]
    pub fn claim(&mut self, start: u64, end: u64, accepted: u64) -> Part {
        let mut part = Part {
            start,
            length: 0,
            lost: 0,
        };
        // Accepted without passing here: on the listener, or before the agent began.
        if accepted > self.next {
            self.next = accepted;
        }
        if self.open > 0 {
            self.close(accepted as u32);
        }
        let next = self.next;
        let start = if start < accepted { accepted } else { start };
        if end <= start {
            return part;
        }
        if start < next {
            self.fill(&mut part, start, if end < next { end } else { next });
        } else if start > next {
            // What is missing before it may still come.
            let missing = Gap {
                start: next as u32,
                end: start as u32,
            };
            self.remember(&mut part, missing);
        }
        if end > next {
            let fresh = if start > next { start } else { next };
            let length = (end - fresh) as u32;
            if part.length == 0 {
                part.start = fresh;
                part.length = length;
            } else if part.start + u64::from(part.length) == fresh {
                part.length += length;
            } else {
                part.lost += length;
            }
            self.next = end;
        }
        part
    }

    /// Forgets the gaps that TCP has closed.
    #[inline(always)]
    fn close(&mut self, accepted: u32) {
        let mut open = 0;
        for gap in &mut self.gaps {
            if behind(gap.end, accepted) && gap.start != gap.end {
                open += 1;
            } else {
                *gap = Gap { start: 0, end: 0 };
            }
        }
        self.open = open;
    }

    /// The stretch lies where bytes were counted: only what falls into a gap is new. A segment that
    /// fills two gaps gives up the second.
    #[inline(always)]
    fn fill(&mut self, part: &mut Part, start: u64, end: u64) {
        if self.open == 0 {
            return;
        }
        let (low, high) = (start as u32, end as u32);
        let mut rest = Gap { start: 0, end: 0 };
        for gap in &mut self.gaps {
            if gap.start == gap.end {
                continue;
            }
            let from = if behind(gap.start, low) {
                gap.start
            } else {
                low
            };
            let to = if behind(gap.end, high) { high } else { gap.end };
            if !behind(to, from) {
                continue;
            }
            let filled = to.wrapping_sub(from);
            if part.length == 0 {
                part.start = start + u64::from(from.wrapping_sub(low));
                part.length = filled;
            } else {
                part.lost += filled;
            }
            if from == gap.start {
                gap.start = to;
            } else {
                // Of at most one gap, the one that the stretch lies inside of.
                rest = Gap {
                    start: to,
                    end: gap.end,
                };
                gap.end = from;
            }
        }
        if rest.start != rest.end {
            self.remember(part, rest);
        }
    }

    /// A new gap: given up if there is no place to remember it.
    #[inline(always)]
    fn remember(&mut self, part: &mut Part, new: Gap) {
        for gap in &mut self.gaps {
            if gap.start == gap.end {
                *gap = new;
                self.open += 1;
                return;
            }
        }
        part.lost += new.end.wrapping_sub(new.start);
    }
}

/// Whether `a` lies behind `b`, both low halves of positions less than 2 GiB apart.
#[inline(always)]
const fn behind(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start, end, accepted; then start, length and lost of what is new.
    type Row = ((u64, u64, u64), (u64, u32, u32));

    fn runs(rows: impl IntoIterator<Item = Row>) {
        let mut received = Received::default();
        for ((start, end, accepted), (part, length, lost)) in rows {
            let claimed = received.claim(start, end, accepted);
            assert_eq!(
                (claimed.length, claimed.lost),
                (length, lost),
                "{start}..{end}"
            );
            if length > 0 {
                assert_eq!(claimed.start, part, "{start}..{end}");
            }
        }
    }

    #[test]
    fn in_order_everything_is_new_once() {
        runs([
            ((0, 100, 0), (0, 100, 0)),
            ((100, 150, 100), (100, 50, 0)),
            ((100, 150, 150), (0, 0, 0)),
            ((120, 200, 150), (150, 50, 0)),
        ]);
    }

    #[test]
    fn only_what_comes_next_advances() {
        let mut received = Received::default();
        for (stretch, advances) in [
            ((0, 10, 0), true),
            ((10, 20, 0), true),
            ((10, 20, 0), false),
            ((30, 40, 20), false),
        ] {
            assert_eq!(received.advance(stretch.0, stretch.1, stretch.2), advances);
        }
        assert_eq!(received.claim(30, 40, 20).length, 10);
        // A gap is open: what comes next has to be compared with it.
        assert!(!received.advance(40, 50, 20));
        assert_eq!(received.claim(20, 30, 20).length, 10);
        assert_eq!(received.claim(40, 50, 40).length, 10);
        assert!(received.advance(50, 60, 50));
    }

    #[test]
    fn a_repeat_that_tcp_has_not_accepted_yet_is_no_news() {
        runs([
            ((0, 100, 0), (0, 100, 0)),
            ((0, 100, 0), (0, 0, 0)),
            ((50, 120, 0), (100, 20, 0)),
        ]);
    }

    #[test]
    fn a_gap_is_filled_once_whole_or_in_parts() {
        runs([
            ((0, 10, 0), (0, 10, 0)),
            ((30, 40, 10), (30, 10, 0)),
            ((10, 20, 10), (10, 10, 0)),
            ((30, 40, 20), (0, 0, 0)),
            ((20, 30, 20), (20, 10, 0)),
            ((20, 30, 20), (0, 0, 0)),
            ((40, 50, 40), (40, 10, 0)),
        ]);
    }

    #[test]
    fn what_cannot_be_told_in_one_stretch_is_given_up_and_counted_once() {
        // A segment over two gaps, and fresh bytes with known ones between.
        runs([
            ((10, 20, 0), (10, 10, 0)),
            ((30, 40, 0), (30, 10, 0)),
            ((0, 50, 0), (0, 10, 20)),
            ((0, 50, 0), (0, 0, 0)),
        ]);
    }

    #[test]
    fn a_stretch_inside_a_gap_leaves_two() {
        runs([
            ((30, 40, 0), (30, 10, 0)),
            ((10, 20, 0), (10, 10, 0)),
            ((20, 30, 0), (20, 10, 0)),
            ((10, 40, 0), (0, 0, 0)),
            ((0, 10, 0), (0, 10, 0)),
        ]);
    }

    #[test]
    fn more_gaps_than_places_give_up_what_they_skip() {
        let every_tenth = (1..=GAPS as u64).map(|n| ((n * 10, n * 10 + 1, 0), (n * 10, 1, 0)));
        runs(every_tenth.chain([
            ((110, 111, 0), (110, 1, 9)),
            ((101, 110, 0), (0, 0, 0)),
            // Inside a gap: what is left behind it has no place either.
            ((15, 17, 0), (15, 2, 3)),
            ((111, 120, 111), (111, 9, 0)),
            ((130, 131, 120), (130, 1, 0)),
        ]));
    }

    #[test]
    fn every_position_is_counted_exactly_once_whatever_the_order() {
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        for _ in 0..2000 {
            let mut received = Received {
                next: u64::from(u32::MAX) - 500,
                ..Received::default()
            };
            let base = received.next;
            let mut arrived = [false; 1000];
            let (mut accepted, mut counted) = (0, 0);
            while accepted < 1000 {
                let start = (accepted as u64).saturating_sub(20) + next(120);
                let end = (start + 1 + next(40)).min(1000);
                if end > start {
                    let part = received.claim(base + start, base + end, base + accepted as u64);
                    counted += u64::from(part.length) + u64::from(part.lost);
                    arrived[start as usize..end as usize].fill(true);
                }
                while accepted < 1000 && arrived[accepted] {
                    accepted += 1;
                }
            }
            assert_eq!(counted, 1000);
        }
    }
}
