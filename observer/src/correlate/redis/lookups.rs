//! Look-ups: how many found something, how many nothing.

use std::collections::VecDeque;

use crate::decode::redis::command::Lookup;
use crate::decode::redis::{Answer, Name};

/// Commands of a transaction whose look-ups are followed; of a longer one none is.
const QUEUED_LIMIT: usize = 65_536;

/// Look-ups of one reply.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) hits: u32,
    pub(super) misses: u32,
}

impl Found {
    /// What an answer says of a look-up; an error looks nothing up.
    pub(super) fn of(lookup: Lookup, answer: &Answer) -> Self {
        match (lookup, answer) {
            (Lookup::None, _) | (_, Answer::Error(_)) => Self::default(),
            (Lookup::One, Answer::Nil) => Self { hits: 0, misses: 1 },
            (Lookup::One, _) => Self { hits: 1, misses: 0 },
            (Lookup::Each, Answer::Aggregate(all)) => Self {
                hits: all.values,
                misses: all.nils,
            },
            (Lookup::Each, _) => Self::default(),
        }
    }

    fn add(&mut self, other: Self) {
        self.hits = self.hits.saturating_add(other.hits);
        self.misses = self.misses.saturating_add(other.misses);
    }
}

/// The commands queued since `MULTI`, and what `EXEC` has said of them so far.
///
/// A `SUBSCRIBE` of several channels is acknowledged once for each. In RESP2 every acknowledgement
/// takes an element's place in the reply to `EXEC`, which was announced with one for each command;
/// so the last elements come behind it, as replies of their own:
///
/// ```text
///   MULTI, SUBSCRIBE a b, GET k, EXEC    *2 [subscribe a 1] [subscribe b 2] | $1 v
/// ```
#[derive(Debug, Default)]
pub(super) struct Transaction {
    queued: Vec<Lookup>,
    /// Which commands are acknowledged more than once, and how often beyond that.
    several: VecDeque<(u64, u64)>,
    /// Commands queued, those over the bound included.
    count: u64,
    /// Elements of the reply to `EXEC` so far.
    elements: u64,
    /// Commands whose result has begun, and acknowledgements still due of the last of them.
    reached: u64,
    more: u64,
    found: Found,
}

impl Transaction {
    /// A command was queued that will have so many results.
    pub(super) fn queue(&mut self, lookup: Lookup, results: u32) {
        if results > 1 && self.several.len() < QUEUED_LIMIT {
            self.several.push_back((self.count, u64::from(results) - 1));
        }
        self.count += 1;
        if self.queued.len() < QUEUED_LIMIT {
            self.queued.push(lookup);
        }
    }

    /// The next element of the reply to `EXEC`.
    pub(super) fn element(&mut self, answer: &Answer) {
        self.elements += 1;
        if self.more > 0 {
            self.more -= 1;
            return;
        }
        let index = usize::try_from(self.reached).ok();
        let lookup = index.and_then(|index| self.queued.get(index));
        self.found
            .add(Found::of(lookup.copied().unwrap_or(Lookup::None), answer));
        let several = self.several.pop_front_if(|(at, _)| *at == self.reached);
        if let Some((_, more)) = several
            && !is_pushed(answer)
        {
            self.more = more;
        }
        self.reached += 1;
    }

    /// Whether elements come behind the reply that was announced to hold them.
    pub(super) fn goes_on(&self) -> bool {
        let seen = self.count == self.queued.len() as u64 && self.elements >= self.count;
        seen && (self.reached < self.count || self.more > 0)
    }

    /// The reply to `EXEC` is whole. Where not every queued command was seen, or not its result,
    /// nobody knows which element is whose.
    pub(super) fn close(&mut self) -> Found {
        let whole = self.count == self.reached && self.count == self.queued.len() as u64;
        let found = if whole { self.found } else { Found::default() };
        *self = Self::default();
        found
    }
}

/// In RESP3 a command's acknowledgements are pushes, of which the decoder tells one.
fn is_pushed(answer: &Answer) -> bool {
    matches!(answer, Answer::Aggregate(aggregate) if aggregate.name != Name::Other)
}
