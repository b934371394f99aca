//! Drains a ring.
//!
//! The kernel does not wake the reader for a record: it costs the application more than the copy
//! does. The reader looks again after a pause that doubles while little comes, and is woken only
//! when the ring fills past a level meanwhile.
#![forbid(unsafe_code)]

use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::record::Record;
use super::settings::Settings;

/// Reads one ring; one thread's.
pub struct RingReader {
    ring: RingBuf<MapData>,
    wake: Epoll,
    pause: Duration,
    shortest: Duration,
    longest: Duration,
    /// Bytes of a drain after which the next pause is the shortest.
    much: u64,
}

/// What one [`RingReader::drain`] took out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Records.
    pub records: u64,
    /// Bytes of them, as the ring holds them: with an 8-byte length each, in steps of 8. Taken at
    /// the start of a drain this is how full the ring had become.
    pub bytes: u64,
    /// Records that were not of this version's layout; always 0 unless the object is not ours.
    pub malformed: u64,
}

impl RingReader {
    pub(super) fn new(ring: RingBuf<MapData>, settings: &Settings) -> Result<Self, Errno> {
        let wake = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        // Edge-triggered: ready at a wake-up, not whenever a record is there, which is what the
        // pause is to let pass.
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        wake.add(&ring, EpollEvent::new(interest, 0))?;
        Ok(Self {
            ring,
            wake,
            pause: settings.poll_min,
            shortest: settings.poll_min,
            longest: settings.poll_max,
            // Twice as much per pause is still far from the level.
            much: u64::from(settings.wake_bytes / 8),
        })
    }

    /// Hands every record that is there, and at most `most`, to `each`; does not wait.
    pub fn drain(&mut self, most: u64, mut each: impl FnMut(&Record<'_>)) -> Drained {
        let mut drained = Drained::default();
        while drained.records < most {
            let Some(item) = self.ring.next() else {
                break;
            };
            drained.records += 1;
            drained.bytes += (item.len() as u64 + 8).next_multiple_of(8);
            match Record::parse(&item) {
                Ok(record) => each(&record),
                Err(_) => drained.malformed += 1,
            }
        }
        if drained.bytes > self.much {
            self.pause = self.shortest;
        }
        drained
    }

    /// Waits until it is worth looking again: a pause, cut short when the ring fills up.
    pub fn wait(&mut self) {
        let milliseconds = u16::try_from(self.pause.as_millis().max(1)).unwrap_or(u16::MAX);
        let mut events = [EpollEvent::empty()];
        match self
            .wake
            .wait(&mut events, EpollTimeout::from(milliseconds))
        {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => std::thread::sleep(self.pause),
        }
        self.pause = (self.pause * 2).min(self.longest);
    }
}
