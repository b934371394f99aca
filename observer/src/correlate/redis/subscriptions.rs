//! What a connection is subscribed to, as its acknowledgements tell.

use crate::decode::redis::Aggregate;
use crate::decode::redis::command::Family;

/// Number of subscriptions by family.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    channels: u32,
    patterns: u32,
    shards: u32,
    /// In RESP2 what is published comes as an array like any reply; in RESP3 it cannot be taken
    /// for one.
    arrays: bool,
}

impl Subscriptions {
    /// Whether an array may be a published message.
    pub(super) fn come_as_arrays(&self) -> bool {
        self.arrays
    }

    /// A published message came as an array, so the connection was subscribed before it was seen.
    pub(super) fn assume(&mut self) {
        self.arrays = true;
    }

    /// How many acknowledgements a cancellation without arguments has: one per subscription, and
    /// one if there is none.
    pub(super) fn to_cancel(&self, family: Family) -> u64 {
        u64::from(match family {
            Family::Channel => self.channels,
            Family::Pattern => self.patterns,
            Family::Shard => self.shards,
        })
        .max(1)
    }

    /// An acknowledgement tells how many there are: of channels and patterns together, of shard
    /// channels alone.
    pub(super) fn acknowledge(&mut self, family: Family, reply: &Aggregate, push: bool) {
        let count = u32::try_from(reply.number).unwrap_or(0);
        match family {
            Family::Channel => self.channels = count.saturating_sub(self.patterns),
            Family::Pattern => self.patterns = count.saturating_sub(self.channels),
            Family::Shard => self.shards = count,
        }
        self.arrays = !push && (count > 0 || self.any());
    }

    fn any(&self) -> bool {
        self.channels > 0 || self.patterns > 0 || self.shards > 0
    }
}
