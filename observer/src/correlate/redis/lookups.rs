//! Look-ups: how many found something, how many nothing.

use crate::decode::redis::Answer;
use crate::decode::redis::command::Lookup;

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
#[derive(Debug, Default)]
pub(super) struct Transaction {
    queued: Vec<Lookup>,
    /// Commands queued, those over the bound included.
    count: u64,
    /// Elements of the reply to `EXEC` so far.
    elements: u64,
    found: Found,
}

impl Transaction {
    /// A command was queued.
    pub(super) fn queue(&mut self, lookup: Lookup) {
        self.count += 1;
        if self.queued.len() < QUEUED_LIMIT {
            self.queued.push(lookup);
        }
    }

    /// The next element of the reply to `EXEC`.
    pub(super) fn element(&mut self, answer: &Answer) {
        let index = usize::try_from(self.elements).ok();
        let lookup = index.and_then(|index| self.queued.get(index));
        self.found
            .add(Found::of(lookup.copied().unwrap_or(Lookup::None), answer));
        self.elements += 1;
    }

    /// The reply to `EXEC` is whole. Where not every queued command was seen, or not its result,
    /// nobody knows which element is whose.
    pub(super) fn close(&mut self) -> Found {
        let whole = self.count == self.elements && self.count == self.queued.len() as u64;
        let found = if whole { self.found } else { Found::default() };
        *self = Self::default();
        found
    }
}
