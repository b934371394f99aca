//! The programs that the agent's are measured against.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::RingBuf;
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType};
use aya::{Ebpf, EbpfLoader};
use observer_tests::cgroup::Cgroup;

use crate::machine::Core;

/// What a floor program does with a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Bytes of a record.
    pub(crate) record: u64,
    /// Bytes copied into it; packets with less payload leave none.
    pub(crate) copied: u32,
}

/// Attached until this goes.
pub(crate) struct Attached {
    programs: Ebpf,
    reader: Option<Reader>,
}

/// Empties the ring as the agent would: looks once a millisecond.
struct Reader {
    thread: JoinHandle<()>,
    end: Arc<AtomicBool>,
    records: Arc<AtomicU64>,
}

/// What programs did so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    pub(crate) nanoseconds: f64,
    pub(crate) records: f64,
}

impl Ran {
    /// Of every program, per record.
    pub(crate) fn per_record_since(self, before: Self) -> f64 {
        (self.nanoseconds - before.nanoseconds) / (self.records - before.records)
    }
}

/// Programs that do nothing.
pub(crate) fn attach_empty(object: &Path, cgroup: &Cgroup) -> Result<Attached> {
    let mut programs = load(
        object,
        Shape {
            record: 64,
            copied: 1,
        },
    )?;
    attach(&mut programs, "empty", cgroup)?;
    Ok(Attached {
        programs,
        reader: None,
    })
}

/// Programs that do nothing but put records of this shape into a ring, emptied on that core.
pub(crate) fn attach_floor(
    object: &Path,
    cgroup: &Cgroup,
    shape: Shape,
    core: Core,
) -> Result<Attached> {
    let mut programs = load(object, shape)?;
    attach(&mut programs, "floor", cgroup)?;
    let map = programs.take_map("RING").context("no RING in the object")?;
    let mut ring = RingBuf::try_from(map)?;
    let end = Arc::new(AtomicBool::new(false));
    let records = Arc::new(AtomicU64::new(0));
    let (ends, count) = (Arc::clone(&end), Arc::clone(&records));
    let thread = thread::spawn(move || {
        // Elsewhere it would still empty the ring.
        let _ = core.keep();
        while !ends.load(Ordering::Relaxed) {
            while ring.next().is_some() {
                count.fetch_add(1, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(1));
        }
    });
    Ok(Attached {
        programs,
        reader: Some(Reader {
            thread,
            end,
            records,
        }),
    })
}

fn load(object: &Path, shape: Shape) -> Result<Ebpf> {
    EbpfLoader::new()
        .override_global("SIZE", &shape.record, true)
        .override_global("COPY", &shape.copied, true)
        .load_file(object)
        .with_context(|| {
            format!(
                "cannot load {}: build it with `cargo xtask bench`",
                object.display()
            )
        })
}

fn attach(programs: &mut Ebpf, kind: &str, cgroup: &Cgroup) -> Result<()> {
    let directory = File::open(cgroup.path())?;
    for (way, attach_type) in [
        ("egress", CgroupSkbAttachType::Egress),
        ("ingress", CgroupSkbAttachType::Ingress),
    ] {
        let name = format!("{kind}_{way}");
        let program: &mut CgroupSkb = programs
            .program_mut(&name)
            .with_context(|| format!("no {name} in the object"))?
            .try_into()?;
        program.load()?;
        program.attach(&directory, attach_type, CgroupAttachMode::Single)?;
    }
    Ok(())
}

impl Attached {
    /// Time and records so far; time only while the kernel's statistics are on.
    pub(crate) fn ran(&self) -> Result<Ran> {
        let mut nanoseconds = 0.0;
        for (_, program) in self.programs.programs() {
            // Those that were not loaded have no file descriptor.
            if program.fd().is_ok() {
                nanoseconds += program.info()?.run_time().as_secs_f64() * 1e9;
            }
        }
        // What is in the ring is read within a millisecond.
        sleep(Duration::from_millis(20));
        let records = self
            .reader
            .as_ref()
            .map_or(0, |reader| reader.records.load(Ordering::Relaxed));
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        Ok(Ran {
            nanoseconds,
            records: records as f64,
        })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.end.store(true, Ordering::Relaxed);
            // It does not panic, and nothing depends on it.
            let _ = reader.thread.join();
        }
    }
}
