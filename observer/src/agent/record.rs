//! Records what the hooks see into a file, instead of running it through the stages.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use observer_ebpf::COUNTERS;

use super::asked::Asked;
use super::follow::{Cause, Follow, Sources};
use super::kernel::Sink;
use super::watch::{Order, PAUSE, TICK, Wake};
use crate::capture::record::{Body, Record};
use crate::capture::recording::{End, Preamble, Writer};
use crate::capture::{Capture, Counters, RingReader};
use crate::cli::record::Options;
use crate::clock;
use crate::config::{Config, Selection};
use crate::pipeline::redact::Redactor;
use crate::workloads::cgroup::Cgroups;
use crate::workloads::tree::Paths;
use crate::workloads::{Directory, Selectors};

/// Between two times that what was written is made readable.
const FLUSH: Duration = Duration::from_secs(1);
/// Records taken out of a ring before another, and what ends the recording, is looked at.
const MOST: u64 = 8192;
/// Cgroups that are given names.
const NAMES: usize = 16_384;

/// Records until `stop` says so, or a bound of the options is met.
///
/// # Errors
/// One sentence for what cannot be had: the programs, a cgroup, the file. A file that was begun is
/// left beside the one that was asked for.
pub fn record(
    config: &Config,
    selection: Selection,
    options: &Options,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let name = options.output.display();
    if options.output.exists() && !options.force {
        bail!("{name} is there already; --force overwrites it");
    }
    let plan = super::plan(config)?;
    let beside = beside(&options.output)?;
    let file = create(&beside).with_context(|| format!("cannot write {}", beside.display()))?;
    let mut capture = Capture::load(&config.capture)?;
    let failed = Arc::new(AtomicU64::new(0));
    let verdicts = Box::new(Sink::new(capture.verdicts(), failed));
    let redactor = Redactor::new(config.pipeline(), &plan, verdicts);
    let preamble = Preamble {
        redacted: !options.unredacted,
        started: clock::now().0,
    };
    let paths = Paths::default();
    let mut recording = Recording {
        writer: Writer::new(file, preamble)?,
        redactor,
        unredacted: options.unredacted,
        cgroups: Cgroups::at(capture.cgroup_mount().to_owned()).told_by(paths.clone()),
        named: HashSet::new(),
        records: 0,
        malformed: 0,
        failure: None,
    };
    let (mut rings, counters) = (capture.rings(), capture.counters());
    let (wake, orders) = Wake::new();
    let directory = Directory::default();
    let called = wake.clone();
    directory.listen(move || called.call());
    let asked = Asked::start(config, &directory, capture.own())?;
    asked.wait();
    let sources = Sources {
        directory,
        paths,
        wake: wake.clone(),
    };
    let follow = Follow::start(
        &mut capture,
        selection.directories(),
        Selectors::new(&config.select)?,
        config.capture.cgroups,
        sources,
    )?;
    let mut following = Following {
        capture,
        follow,
        wake,
        orders,
        passed: Instant::now(),
    };
    tracing::info!(file = %name, "recording");
    let written = recording
        .run(&mut rings, &mut following, options, stop)
        // Nothing new comes while the rings are drained.
        .and_then(|()| {
            drop((following, asked));
            while recording.drain(&mut rings)? {}
            Ok(())
        })
        .and_then(|()| recording.finish(&counters));
    let records = written.with_context(|| format!("cannot write {}", beside.display()))?;
    fs::rename(&beside, &options.output).with_context(|| format!("cannot write {name}"))?;
    tracing::info!(file = %name, records, "recorded");
    Ok(())
}

/// A name in the same directory, so that the file can be moved when it is whole.
fn beside(output: &Path) -> anyhow::Result<PathBuf> {
    let Some(name) = output.file_name() else {
        bail!("{} is no name of a file", output.display());
    };
    let mut partial = name.to_owned();
    partial.push(".partial");
    Ok(output.with_file_name(partial))
}

/// A new file that nobody else may read.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// What is attached, and follows the workloads.
struct Following {
    capture: Capture,
    follow: Follow,
    wake: Wake,
    orders: Receiver<Order>,
    passed: Instant,
}

impl Following {
    /// Takes those that came since the last look.
    fn look(&mut self) {
        let since = self.passed.elapsed();
        let looks = self.follow.looks() && since >= TICK;
        if looks || since >= PAUSE && self.orders.try_recv().is_ok() {
            self.wake.hear();
            self.follow.pass(&mut self.capture, Cause::Came);
            self.passed = Instant::now();
        }
    }
}

/// A recording that is being made.
struct Recording {
    writer: Writer<File>,
    redactor: Redactor,
    unredacted: bool,
    cgroups: Cgroups,
    named: HashSet<u64>,
    records: u64,
    /// Records that contradict themselves, and are not kept.
    malformed: u64,
    failure: Option<io::Error>,
}

impl Recording {
    fn run(
        &mut self,
        rings: &mut [RingReader],
        following: &mut Following,
        options: &Options,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        let begun = Instant::now();
        let mut flushed = begun;
        while !stop.load(Ordering::Relaxed) {
            let found = self.drain(rings)?;
            let over = options.duration.is_some_and(|most| begun.elapsed() >= most);
            let full = options
                .max_bytes
                .is_some_and(|most| self.writer.bytes() >= most);
            if over || full {
                break;
            }
            following.look();
            if flushed.elapsed() >= FLUSH {
                flushed = Instant::now();
                self.redactor
                    .tick(&mut write(&mut self.writer, &mut self.failure));
                self.writer.flush()?;
            }
            if !found && let Some(ring) = rings.first_mut() {
                ring.wait();
            }
        }
        Ok(())
    }

    /// Takes what is in the rings, as much as may be taken before something else is looked at;
    /// whether there was anything.
    fn drain(&mut self, rings: &mut [RingReader]) -> io::Result<bool> {
        let before = self.records;
        for ring in rings {
            let drained = ring.drain(MOST, |record| self.record(record));
            self.malformed += drained.malformed;
        }
        match self.failure.take() {
            Some(error) => Err(error),
            None => Ok(self.records > before),
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        self.records += 1;
        if let Body::Connection(_, identity) | Body::Early(identity, _) = &record.body {
            self.name(identity.cgroup);
        }
        let mut keep = write(&mut self.writer, &mut self.failure);
        if self.unredacted {
            keep(record);
            // What it decides is told to the kernel all the same.
            self.redactor.record(record, &mut |_| {});
        } else {
            self.redactor.record(record, &mut keep);
        }
    }

    fn name(&mut self, cgroup: u64) {
        if self.named.contains(&cgroup) || self.named.len() >= NAMES {
            return;
        }
        if let Some(path) = self.cgroups.path(cgroup) {
            self.named.insert(cgroup);
            if let Err(error) = self.writer.name(cgroup, &path) {
                self.failure.get_or_insert(error);
            }
        }
    }

    fn finish(mut self, counters: &Counters) -> io::Result<u64> {
        let mut keep = write(&mut self.writer, &mut self.failure);
        let unredacted = self.unredacted;
        let stripped = self.redactor.finish(&mut |record| {
            if !unredacted {
                keep(record);
            }
        });
        drop(keep);
        if let Some(error) = self.failure {
            return Err(error);
        }
        let mut end = End {
            time: clock::now().0,
            stripped: if unredacted { 0 } else { stripped },
            ..End::default()
        };
        let snapshot = counters.read().map_err(io::Error::other)?;
        for (to, row) in end.counters.iter_mut().zip(COUNTERS) {
            *to = snapshot.get(row.counter);
        }
        self.writer.finish(&end)?.sync_all()?;
        if end.stripped > 0 {
            tracing::warn!(
                bytes = end.stripped,
                "kept as lengths: what they belong to was too long, or took too long to be told"
            );
        }
        if self.malformed > 0 {
            tracing::warn!(
                records = self.malformed,
                "not kept: they contradict themselves"
            );
        }
        Ok(self.records)
    }
}

/// Writes records; the first failure is kept.
fn write<'a>(
    writer: &'a mut Writer<File>,
    failure: &'a mut Option<io::Error>,
) -> impl FnMut(&Record<'_>) + 'a {
    |record| {
        if let Err(error) = writer.record(record) {
            failure.get_or_insert(error);
        }
    }
}
