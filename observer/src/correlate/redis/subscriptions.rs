//! Whether a connection is subscribed, as its acknowledgements tell.

use crate::decode::redis::command::Family;

/// Subscriptions whose messages come as arrays.
///
/// In RESP2 what is published comes as an array like any reply, but a subscribed connection can
/// ask for nothing that such an array might answer. In RESP3 it is a push and never taken for a
/// reply.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// To channels or patterns, which are counted together.
    plain: bool,
    /// To shard channels.
    sharded: bool,
}

impl Subscriptions {
    /// Whether an array may be a published message.
    pub(super) fn come_as_arrays(&self) -> bool {
        self.plain || self.sharded
    }

    /// A published message came as an array, so the connection was subscribed before it was seen.
    pub(super) fn assume(&mut self) {
        self.plain = true;
    }

    /// An acknowledgement says how many there are.
    pub(super) fn acknowledge(&mut self, family: Family, count: i64, push: bool) {
        let any = count > 0 && !push;
        match family {
            Family::Channel | Family::Pattern => self.plain = any,
            Family::Shard => self.sharded = any,
        }
    }
}
