//! What the kernel side counted.
#![forbid(unsafe_code)]

use std::sync::Arc;

use aya::maps::{Array, MapData, MapError, PerCpuArray};
use observer_ebpf::{COUNTERS, Counter, CounterRow, Outcome};

/// Counters there are.
const COUNT: usize = COUNTERS.len();

/// Reads the kernel's counters; cheap to clone.
#[derive(Clone)]
pub struct Counters {
    rows: Arc<PerCpuArray<MapData, [u64; COUNT]>>,
    tracked: Arc<Array<MapData, u64>>,
}

impl Counters {
    pub(super) fn new(
        rows: PerCpuArray<MapData, [u64; COUNT]>,
        tracked: Array<MapData, u64>,
    ) -> Self {
        Self {
            rows: Arc::new(rows),
            tracked: Arc::new(tracked),
        }
    }

    /// The sum over all processors.
    ///
    /// # Errors
    /// Where the kernel refuses to read the map.
    pub fn read(&self) -> Result<Snapshot, MapError> {
        let mut sums = [0_u64; COUNT];
        for row in self.rows.get(&0, 0)?.iter() {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(*value);
            }
        }
        Ok(Snapshot { sums })
    }

    /// Sockets that have state now.
    ///
    /// # Errors
    /// Where the kernel refuses to read the map.
    pub fn tracked_sockets(&self) -> Result<u64, MapError> {
        self.tracked.get(&0, 0)
    }
}

/// All counters at one moment (each is read once; the set is not atomic while traffic runs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    sums: [u64; COUNT],
}

impl Snapshot {
    /// One counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.sums.get(counter as usize).copied().unwrap_or(0)
    }

    /// Every row with its value.
    pub fn rows(&self) -> impl Iterator<Item = (&'static CounterRow, u64)> + '_ {
        COUNTERS.iter().zip(self.sums.iter().copied())
    }

    /// The sum of the rows of an outcome.
    pub fn total(&self, outcome: Outcome) -> u64 {
        self.rows()
            .filter(|(row, _)| row.outcome == outcome)
            .map(|(_, value)| value)
            .sum()
    }
}
