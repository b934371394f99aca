//! Addresses that nobody knows: of pods that have just begun, or of somebody else for good.
//!
//! Only private ones, which pods have nearly everywhere: a server's clients on the internet are
//! strangers from the first moment.
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
        if !is_private(address) {
            return false;
        }
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
        let end = Timestamp(now.0 + WAIT);
        let is_full = self.ends.len() >= MOST as usize;
        match self.ends.back_mut() {
            // However many addresses come and are pushed out: the last end is that of all the rest.
            Some(last) if is_full => *last = end,
            _ => self.ends.push_back(end),
        }
        true
    }

    /// Somebody has this address, so whoever has it next is met for the first time.
    pub(super) fn forget(&mut self, address: IpAddr) {
        self.met.remove(&address);
    }

    /// Who is known may be others from now on.
    pub(super) fn forget_all(&mut self) {
        self.met.clear();
    }

    /// For how many waiting has ended: another number once one of them counts as a stranger.
    pub(super) fn ended(&mut self, now: Timestamp) -> u64 {
        while self.ends.pop_front_if(|end| *end <= now).is_some() {
            self.ended += 1;
        }
        self.ended
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            // 100.64.0.0/10 is shared (RFC 6598); several clouds give it to pods.
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && second & 0b1100_0000 == 64;
            address.is_private() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
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
        // One that comes later is waited for as long as the first.
        assert!(strangers.may_become_known(address(4 * MOST), at(5)));
        assert_eq!(strangers.ended(at(11)), u64::from(MOST) - 1);
        assert_eq!(strangers.ended(at(15)), u64::from(MOST));
        assert!(strangers.ends.is_empty());
    }

    #[test]
    fn who_has_an_address_next_is_met_for_the_first_time() {
        let mut strangers = Strangers::default();
        for forget in [
            (|strangers| strangers.forget(address(1))) as fn(&mut Strangers),
            Strangers::forget_all,
        ] {
            assert!(strangers.may_become_known(address(1), at(1)));
            assert!(!strangers.may_become_known(address(1), at(11)));
            forget(&mut strangers);
            assert!(strangers.may_become_known(address(1), at(12)));
            forget(&mut strangers);
        }
    }

    #[test]
    fn an_address_of_the_internet_is_a_strangers_at_once() {
        for (address, may) in [
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("192.168.0.1", true),
            ("100.64.0.1", true),
            ("100.127.255.255", true),
            ("100.128.0.1", false),
            ("169.254.1.1", true),
            ("203.0.113.9", false),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
        ] {
            let found = Strangers::default().may_become_known(address.parse().unwrap(), at(1));
            assert_eq!(found, may, "{address}");
        }
    }
}
