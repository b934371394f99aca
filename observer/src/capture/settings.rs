//! The bounds of what is captured, and of the memory it takes.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use observer_ebpf::{Protocol, RINGS_MAX, TAIL_MAX, VERDICT_SLOTS};
use schemars::JsonSchema;
use serde::Serialize;

/// Capture settings; every bound of the kernel side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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
    #[schemars(with = "String", regex(pattern = r"^ *([0-9]+ *[a-zA-Zµ]+ *)+$"))]
    pub poll_min: Duration,
    /// Longest pause between two looks at an empty ring. Default 10 ms.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", regex(pattern = r"^ *([0-9]+ *[a-zA-Zµ]+ *)+$"))]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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

/// What a number may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its key in the configuration.
    pub key: Cow<'static, str>,
    /// Its value.
    pub value: u64,
    /// The least that it may be.
    pub least: u64,
    /// The most that it may be.
    pub most: u64,
    /// Whether it has to be a power of two besides.
    pub power_of_two: bool,
}

impl Bound {
    /// From `least` to `most`.
    pub fn new(key: impl Into<Cow<'static, str>>, value: u64, least: u64, most: u64) -> Self {
        Self {
            key: key.into(),
            value,
            least,
            most,
            power_of_two: false,
        }
    }

    fn power_of_two(self) -> Self {
        Self {
            power_of_two: true,
            ..self
        }
    }

    /// Whether the value keeps to it.
    ///
    /// # Errors
    /// [`OutOfRange`] where it does not.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let (least, most) = (self.least, self.most);
        let mut near = self.value.clamp(least, most.max(least));
        let mut kind = "";
        if self.power_of_two {
            kind = "a power of two ";
            near = near.checked_next_power_of_two().unwrap_or(most).min(most);
        }
        if near == self.value {
            return Ok(());
        }
        let range = format!("{kind}from {least} to {most}");
        Err(OutOfRange::new(&self.key, &self.value, &range, &near))
    }
}

/// A setting outside its range: one sentence with its name, its value, the range and what is near.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value}; it must be {range}; did you mean {near}?")]
pub struct OutOfRange {
    key: String,
    value: String,
    range: String,
    near: String,
}

impl OutOfRange {
    fn new(key: &str, value: &impl ToString, range: &str, near: &impl ToString) -> Self {
        Self {
            key: key.to_owned(),
            value: value.to_string(),
            range: range.to_owned(),
            near: near.to_string(),
        }
    }

    /// Whether a duration is within bounds.
    ///
    /// # Errors
    /// The same as [`Bound::check`].
    pub fn check_duration(
        key: &str,
        value: Duration,
        least: Duration,
        most: Duration,
    ) -> Result<(), Self> {
        let near = value.clamp(least, most.max(least));
        if near == value {
            return Ok(());
        }
        let range = format!(
            "from {} to {}",
            format_duration(least),
            format_duration(most)
        );
        let (value, near) = (format_duration(value), format_duration(near));
        Err(Self::new(key, &value, &range, &near))
    }

    /// The key of the setting.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
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
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every setting that is outside its range.
    #[must_use]
    pub fn faults(&self) -> Vec<OutOfRange> {
        let numbers = self.bounds().into_iter().map(|bound| bound.check());
        let least = Duration::from_nanos(1);
        let pause = OutOfRange::check_duration(
            "capture.poll_min",
            self.poll_min,
            least,
            self.poll_max.max(least),
        );
        numbers.chain([pause]).filter_map(Result::err).collect()
    }

    /// What each number may be, beside the others as they are.
    #[must_use]
    pub fn bounds(&self) -> Vec<Bound> {
        let budgets = &self.budgets;
        let of = |key: &'static str, value: u32, least: u64, most: u64| {
            Bound::new(key, value.into(), least, most)
        };
        let any = u64::from(u32::MAX);
        vec![
            of("capture.ring_bytes", self.ring_bytes, 4096, 1 << 30).power_of_two(),
            of("capture.rings", self.rings, 1, RINGS_MAX.into()).power_of_two(),
            of(
                "capture.wake_bytes",
                self.wake_bytes,
                1,
                u64::from(self.ring_bytes).saturating_sub(1).max(1),
            ),
            of("capture.sockets", self.sockets, 1, any),
            of("capture.verdicts", self.verdicts, 1, any),
            of("capture.cgroups", self.cgroups, 1, any),
            of("capture.attempts", self.attempts.into(), 1, 255),
            of("capture.tail_bytes", self.tail_bytes, 0, TAIL_MAX.into()),
            of("capture.window_bytes", self.window_bytes, 1 << 16, 1 << 30),
            of("capture.budgets.undecided", budgets.undecided, 64, any),
            of("capture.budgets.http1", budgets.http1, 64, any),
            of("capture.budgets.postgres", budgets.postgres, 64, any),
            of("capture.budgets.redis", budgets.redis, 64, any),
        ]
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
            ring: self.ring_bytes,
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
        let cases: [(Change, &str); 6] = [
            (
                |s| s.ring_bytes = 5000,
                "capture.ring_bytes is 5000; it must be a power of two",
            ),
            (
                |s| s.rings = 3,
                "capture.rings is 3; it must be a power of two from 1 to 8; did you mean 4?",
            ),
            (
                |s| s.wake_bytes = 8 << 20,
                "capture.wake_bytes is 8388608; it must be from 1 to 8388607; did you mean 8388607?",
            ),
            (
                |s| s.poll_min = Duration::from_secs(2),
                "capture.poll_min is 2s; it must be from 1ns to 10ms; did you mean 10ms?",
            ),
            (
                |s| s.tail_bytes = 129,
                "capture.tail_bytes is 129; it must be from 0 to 128; did you mean 128?",
            ),
            (
                |s| s.budgets.redis = 0,
                "capture.budgets.redis is 0; it must be from 64 to ",
            ),
        ];
        for (change, sentence) in cases {
            let mut settings = Settings::default();
            change(&mut settings);
            let error = settings.validate().unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }
}
