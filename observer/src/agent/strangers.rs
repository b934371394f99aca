//! Addresses that nobody knows: of pods that have just begun, or of somebody else for good.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::net::IpAddr;

use schnellru::{ByLength, LruMap};

use crate::time::Timestamp;

/// Nanoseconds after which an address that nobody has named belongs to no pod. A kubelet tells the
/// API of a pod's address when it looks at its containers, every second or two, and the API tells
/// us at once.
const WAIT: u64 = 10 * SECOND;
/// Nanoseconds after which an address that was not met any more may be another's.
const MEMORY: u64 = 3600 * SECOND;
const SECOND: u64 = 1_000_000_000;
/// Addresses that are remembered; one that was pushed out is waited for anew.
const MOST: u32 = 4096;

/// Since when each is met.
pub(super) struct Strangers {
    met: LruMap<IpAddr, Met, ByLength>,
    /// When waiting ends, in the order of that.
    ends: VecDeque<Timestamp>,
    /// How often it has ended.
    ended: u64,
}

struct Met {
    first: Timestamp,
    last: Timestamp,
}

impl Default for Strangers {
    fn default() -> Self {
        Self {
            met: LruMap::new(ByLength::new(MOST)),
            ends: VecDeque::new(),
            ended: 0,
        }
    }
}

impl Strangers {
    /// Whether this address, which nobody knows, may become a pod's.
    pub(super) fn may_become_known(&mut self, address: IpAddr, now: Timestamp) -> bool {
        if let Some(met) = self.met.get(&address)
            && now.0.saturating_sub(met.last.0) < MEMORY
        {
            met.last = now;
            return now.0.saturating_sub(met.first.0) < WAIT;
        }
        let met = Met {
            first: now,
            last: now,
        };
        self.met.insert(address, met);
        // As many as wait at a time, however many addresses come and are pushed out.
        if self.ends.len() < MOST as usize {
            self.ends.push_back(Timestamp(now.0 + WAIT));
        }
        true
    }

    /// For how many waiting has ended: another number once one of them counts as a stranger.
    pub(super) fn ended(&mut self, now: Timestamp) -> u64 {
        while self.ends.pop_front_if(|end| *end <= now).is_some() {
            self.ended += 1;
        }
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * SECOND)
    }

    fn address(last: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + last).into()
    }

    #[test]
    fn an_address_is_waited_for_once_and_its_end_is_told() {
        let mut strangers = Strangers::default();
        let one = address(1);
        for (now, may, ended) in [
            (100, true, 0),
            (109, true, 0),
            (110, false, 1),
            (3_000, false, 1),
            // An hour without it.
            (6_600, true, 1),
            (6_610, false, 2),
        ] {
            let now = at(now);
            assert_eq!(strangers.may_become_known(one, now), may, "{now:?}");
            assert_eq!(strangers.ended(now), ended, "{now:?}");
        }
    }

    #[test]
    fn addresses_without_end_take_a_bounded_place() {
        let mut strangers = Strangers::default();
        for last in 0..3 * MOST {
            assert!(strangers.may_become_known(address(last), at(1)));
        }
        assert_eq!(strangers.met.len(), MOST as usize);
        assert_eq!(strangers.ends.len(), MOST as usize);
        assert_eq!(strangers.ended(at(11)), u64::from(MOST));
        assert!(strangers.ends.is_empty());
    }
}
