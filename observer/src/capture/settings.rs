//! The bounds of what is captured, and of the memory it takes.
#![forbid(unsafe_code)]

use std::time::Duration;

use observer_ebpf::{Protocol, RINGS_MAX, TAIL_MAX, VERDICT_SLOTS};
use serde::{Deserialize, Serialize};

/// Capture settings; every bound of the kernel side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Bytes of each ring, a power of two from 4096. Default 8 MiB: at 150 MB/s of records 50 ms
    /// of absence. A record that finds no room is counted as lost.
    pub ring_bytes: u32,
    /// Rings, and so workers: 1, 2, 4 or 8. Default 1. A connection keeps to its ring, and so do
    /// both ends of one, unless a port is translated between them: then, with more than one ring,
    /// the server's end may count what passes before the client's end is known.
    pub rings: u32,
    /// Unread bytes of a ring past which its reader is woken before its next poll. Default 2 MiB.
    pub wake_bytes: u32,
    /// Shortest pause between two looks at an empty ring. Default 1 ms.
    #[serde(with = "humantime_serde")]
    pub poll_min: Duration,
    /// Longest pause between two looks at an empty ring. Default 10 ms.
    #[serde(with = "humantime_serde")]
    pub poll_max: Duration,
    /// Sockets that may have state at a time; the payload of others is skipped. Default 32,768
    /// (14 MiB when all are open).
    pub sockets: u32,
    /// Verdicts that may wait to be taken over by their socket; the least recently used is
    /// forgotten. Default 16,384.
    pub verdicts: u32,
    /// Cgroups that may be selected at a time. Default 1024.
    pub cgroups: u32,
    /// Turns of direction after which a connection that no protocol is recognised on is left
    /// alone. Default 8.
    pub attempts: u8,
    /// Payload copied per turn and direction.
    pub budgets: Budgets,
    /// Bytes copied from a segment's end once its turn's budget is spent; at most 128. Default 64,
    /// enough for PostgreSQL's last tag and `ReadyForQuery`.
    pub tail_bytes: u32,
    /// How far ahead of what TCP accepted a received segment may lie and still be believed.
    /// Default 64 MiB, ten times the largest receive buffer Linux grows by itself.
    pub window_bytes: u32,
}

/// Payload bytes copied per turn of direction; past them only heads and tails of segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// Before the protocol is known. Default 64 KiB.
    pub undecided: u32,
    /// HTTP/1. Default 64 KiB.
    pub http1: u32,
    /// PostgreSQL. Default 256 KiB.
    pub postgres: u32,
    /// Redis. Default 64 KiB.
    pub redis: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            undecided: 64 << 10,
            http1: 64 << 10,
            postgres: 256 << 10,
            redis: 64 << 10,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ring_bytes: 8 << 20,
            rings: 1,
            wake_bytes: 2 << 20,
            poll_min: Duration::from_millis(1),
            poll_max: Duration::from_millis(10),
            sockets: 32_768,
            verdicts: 16_384,
            cgroups: 1024,
            attempts: 8,
            budgets: Budgets::default(),
            tail_bytes: 64,
            window_bytes: 64 << 20,
        }
    }
}

/// A setting outside its range: one sentence with its name, its value and the range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("capture.{name} is {value}; it must be {range}")]
pub struct OutOfRange {
    name: &'static str,
    value: String,
    range: String,
}

/// What one map takes when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapMemory {
    /// The map, by its name in the object.
    pub map: &'static str,
    /// Bytes of kernel memory at its bound.
    pub bytes: u64,
}

/// Kernel memory of a socket's state: a 248-byte element in a 256-byte slab object, and the
/// socket's list of storages in a 192-byte one.
const SOCKET_BYTES: u64 = 256 + 192;
/// Of a hash map's element beside key and value (`struct htab_elem`, an LRU node, a bucket), with
/// 8-byte keys and values.
const HASH_BYTES: u64 = 96;
/// A ring's two position pages and its own.
const RING_PAGES: u64 = 3 * 4096;
/// What a ring that is not in use keeps.
const IDLE_RING_BYTES: u64 = 4096 + RING_PAGES;

impl Settings {
    /// Refuses what the kernel side cannot do.
    ///
    /// # Errors
    /// [`OutOfRange`] for the first setting that is outside its range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let budgets = &self.budgets;
        let checks = [
            (
                "ring_bytes",
                u64::from(self.ring_bytes),
                self.ring_bytes.is_power_of_two() && (4096..=1 << 30).contains(&self.ring_bytes),
                "a power of two from 4096 to 1 GiB",
            ),
            (
                "rings",
                u64::from(self.rings),
                self.rings.is_power_of_two() && self.rings <= RINGS_MAX,
                "1, 2, 4 or 8",
            ),
            (
                "wake_bytes",
                u64::from(self.wake_bytes),
                self.wake_bytes > 0 && self.wake_bytes < self.ring_bytes,
                "from 1 to less than ring_bytes",
            ),
            (
                "sockets",
                u64::from(self.sockets),
                self.sockets > 0,
                "at least 1",
            ),
            (
                "verdicts",
                u64::from(self.verdicts),
                self.verdicts > 0,
                "at least 1",
            ),
            (
                "cgroups",
                u64::from(self.cgroups),
                self.cgroups > 0,
                "at least 1",
            ),
            (
                "attempts",
                u64::from(self.attempts),
                self.attempts > 0,
                "at least 1",
            ),
            (
                "tail_bytes",
                u64::from(self.tail_bytes),
                self.tail_bytes <= TAIL_MAX,
                "at most 128",
            ),
            (
                "window_bytes",
                u64::from(self.window_bytes),
                (1 << 16..=1 << 30).contains(&self.window_bytes),
                "from 64 KiB to 1 GiB",
            ),
            (
                "poll_min",
                u64::try_from(self.poll_min.as_micros()).unwrap_or(u64::MAX),
                !self.poll_min.is_zero() && self.poll_min <= self.poll_max,
                "above zero and at most poll_max",
            ),
            (
                "budgets",
                u64::from(
                    budgets
                        .undecided
                        .min(budgets.http1)
                        .min(budgets.postgres)
                        .min(budgets.redis),
                ),
                [
                    budgets.undecided,
                    budgets.http1,
                    budgets.postgres,
                    budgets.redis,
                ]
                .iter()
                .all(|budget| *budget >= 64),
                "at least 64 each",
            ),
        ];
        for (name, value, valid, range) in checks {
            if !valid {
                return Err(OutOfRange {
                    name,
                    value: value.to_string(),
                    range: range.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// What every map takes when it is full. Socket state is allocated as sockets come; the rest
    /// at start.
    pub fn map_memory(&self) -> Vec<MapMemory> {
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let rings = u64::from(self.rings);
        let counters = observer_ebpf::COUNTERS.len() as u64 * 8 * processors;
        [
            (
                "RINGS",
                (u64::from(self.ring_bytes) + RING_PAGES) * rings
                    + IDLE_RING_BYTES * (u64::from(RINGS_MAX) - rings),
            ),
            ("SOCKETS", u64::from(self.sockets) * SOCKET_BYTES),
            ("VERDICTS", u64::from(self.verdicts) * HASH_BYTES),
            ("EPOCHS", u64::from(VERDICT_SLOTS) * 8),
            ("COUNTERS", counters),
            ("CGROUPS", u64::from(self.cgroups) * HASH_BYTES),
        ]
        .into_iter()
        .map(|(map, bytes)| MapMemory { map, bytes })
        .collect()
    }

    /// The sum of [`Self::map_memory`].
    pub fn map_memory_total(&self) -> u64 {
        self.map_memory().iter().map(|map| map.bytes).sum()
    }

    /// What the programs are told; the offsets are filled in by who reads the kernel's types.
    pub(super) fn to_kernel(&self) -> observer_ebpf::Settings {
        let mut budgets = [0; 16];
        for (protocol, budget) in [
            (Protocol::Undecided, self.budgets.undecided),
            (Protocol::Http1, self.budgets.http1),
            (Protocol::Postgres, self.budgets.postgres),
            (Protocol::Redis, self.budgets.redis),
        ] {
            if let Some(slot) = budgets.get_mut(protocol as usize) {
                *slot = budget;
            }
        }
        observer_ebpf::Settings {
            budgets,
            tail: self.tail_bytes,
            attempts: u32::from(self.attempts),
            sockets: self.sockets,
            rings: self.rings,
            wake: self.wake_bytes,
            task_tgid: 0,
            task_comm: 0,
            window: self.window_bytes,
            sock_error: 0,
            sock_cgroup: 0,
            cgroup_node: 0,
            node_id: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_fit_into_32_mib() {
        let settings = Settings::default();
        assert_eq!(settings.validate(), Ok(()));
        assert!(
            settings.map_memory_total() <= 32 << 20,
            "{:?}",
            settings.map_memory()
        );
    }

    #[test]
    fn a_value_outside_its_range_is_named_with_the_range() {
        type Change = fn(&mut Settings);
        let cases: [(Change, &str); 5] = [
            (
                |s| s.ring_bytes = 5000,
                "capture.ring_bytes is 5000; it must be a power of two",
            ),
            (
                |s| s.rings = 3,
                "capture.rings is 3; it must be 1, 2, 4 or 8",
            ),
            (
                |s| s.wake_bytes = 8 << 20,
                "capture.wake_bytes is 8388608; it must be from 1",
            ),
            (
                |s| s.tail_bytes = 129,
                "capture.tail_bytes is 129; it must be at most 128",
            ),
            (
                |s| s.budgets.redis = 0,
                "capture.budgets is 0; it must be at least 64 each",
            ),
        ];
        for (change, sentence) in cases {
            let mut settings = Settings::default();
            change(&mut settings);
            let error = settings.validate().unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_and_a_missing_one_has_its_default() {
        let known: Settings = serde_json::from_str(r#"{"rings": 2, "poll_max": "5ms"}"#).unwrap();
        assert_eq!((known.rings, known.poll_max), (2, Duration::from_millis(5)));
        assert_eq!(known.sockets, Settings::default().sockets);
        assert!(serde_json::from_str::<Settings>(r#"{"ring": 2}"#).is_err());
    }
}
