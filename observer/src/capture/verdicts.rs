//! What the agent tells the kernel about a connection.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{Array, HashMap, MapData, MapError};
use observer_ebpf::{VERDICT_SLOTS, Verdict};
use zerocopy::transmute;

/// Writes verdicts; cheap to clone, and a call takes two system calls: not for each exchange.
#[derive(Clone)]
pub struct Verdicts {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    verdicts: HashMap<MapData, u64, u64>,
    epochs: Array<MapData, u32>,
    /// What `epochs` holds, by slot.
    written: Vec<u32>,
}

impl Verdicts {
    pub(super) fn new(verdicts: HashMap<MapData, u64, u64>, epochs: Array<MapData, u32>) -> Self {
        let written = vec![0; VERDICT_SLOTS as usize];
        Self {
            shared: Arc::new(Mutex::new(Shared {
                verdicts,
                epochs,
                written,
            })),
        }
    }

    /// From its next segment on, the connection is held to the verdict.
    ///
    /// # Errors
    /// Where the kernel refuses the write. The map itself forgets the least recently used rather
    /// than refusing.
    pub fn set(&self, cookie: u64, verdict: Verdict) -> Result<(), MapError> {
        let value: u64 = transmute!(verdict);
        let slot = u32::try_from(cookie % u64::from(VERDICT_SLOTS)).unwrap_or(0);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.verdicts.insert(cookie, value, 0)?;
        // Only then: a program that sees the new epoch must find the verdict.
        let epoch = shared.written.get_mut(slot as usize).map_or(1, |epoch| {
            *epoch = epoch.wrapping_add(1);
            *epoch
        });
        shared.epochs.set(slot, epoch, 0)
    }
}
