//! What the agent looks after while it runs, on a thread that no byte passes: a configuration that
//! changes, selected cgroups that go and come back, workloads that are gone, stages that have died.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::reload::Reload;
use crate::capture::Capture;
use crate::cli::Failure;
use crate::pipeline::{Gone, Interpreter, Pipeline};
use crate::workloads::roster::Roster;

/// Between two looks at the selection: a connection that a new cgroup opens before the next one is
/// joined late.
const TICK: Duration = Duration::from_millis(250);
/// Between two looks at every workload.
const ROLL_CALL: Duration = Duration::from_secs(2);

/// What is looked after.
pub(super) struct Watched<I> {
    pub(super) capture: Capture,
    pub(super) pipeline: Pipeline<I>,
    pub(super) selection: Vec<PathBuf>,
    pub(super) roster: Roster,
    pub(super) failure: Failure,
    pub(super) reload: Reload,
}

/// What it is asked for.
enum Order {
    Reload,
}

/// The running thread.
pub(super) struct Watch {
    /// Dropped to end it.
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts it.
    pub(super) fn start<I: Interpreter>(watched: Watched<I>) -> std::io::Result<Self> {
        let (orders, receiver) = channel();
        let thread = std::thread::Builder::new().name("watch".to_owned());
        let thread = thread.spawn(move || watched.run(&receiver))?;
        Ok(Self { orders, thread })
    }

    /// Has the configuration read again, soon.
    pub(super) fn reload(&self) {
        // Ended by a panic, it has said so.
        let _ended = self.orders.send(Order::Reload);
    }

    /// Detaches the programs, drains what they left in the rings, and returns when every thread has
    /// ended.
    pub(super) fn stop(self) {
        drop(self.orders);
        if self.thread.join().is_err() {
            tracing::error!("the watch thread ended by a panic");
        }
    }
}

impl<I: Interpreter> Watched<I> {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut called = Instant::now();
        let mut refused = false;
        let mut failed = false;
        let mut gone = Vec::new();
        loop {
            let ordered = match orders.recv_timeout(TICK) {
                Ok(Order::Reload) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if ordered || self.reload.is_due() {
                gone.extend(self.reload.run(&mut self.capture, &mut self.selection));
                refused = false;
                continue;
            }
            // A tick later, when the rings hold nothing of them any more.
            if !gone.is_empty() {
                self.pipeline
                    .forget(&left(std::mem::take(&mut gone), &self.selection));
            }
            self.select(&mut refused);
            if called.elapsed() >= ROLL_CALL {
                called = Instant::now();
                self.roster.look(is_there);
            }
            if self.pipeline.is_finished() && !failed {
                failed = true;
                self.failure
                    .tell("a stage of the agent has died".to_owned());
            }
        }
        // Nothing new comes while the rings are drained.
        drop(self.capture);
        if let Err(error) = self.pipeline.stop() {
            tracing::error!(%error, "a stage did not end in order");
        }
    }

    /// Lets go of selected cgroups that are gone, and takes those that are back.
    fn select(&mut self, refused: &mut bool) {
        if self.capture.sweep() > 0 {
            tracing::info!("a selected cgroup is gone");
        }
        for cgroup in &self.selection {
            if self.capture.is_selected(cgroup) || !cgroup.is_dir() {
                continue;
            }
            match self.capture.attach(cgroup) {
                Ok(()) => tracing::info!(cgroup = %cgroup.display(), "a selected cgroup is back"),
                // Once: it is tried again at each look.
                Err(error) if !*refused => {
                    *refused = true;
                    tracing::error!(%error, "a selected cgroup is back and cannot be observed");
                }
                Err(_) => {}
            }
        }
    }
}

/// The cgroups in and below these directories that are not selected otherwise.
fn left(mut directories: Vec<PathBuf>, selection: &[PathBuf]) -> Gone {
    let mut ids = Vec::new();
    while let Some(directory) = directories.pop() {
        if selection.iter().any(|above| directory.starts_with(above)) {
            continue;
        }
        let Ok(metadata) = fs::metadata(&directory) else {
            continue;
        };
        ids.push(metadata.ino());
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories.extend(below.map(|entry| entry.path()));
    }
    ids.into_iter().collect()
}

/// Whether a cgroup's directory is still that cgroup's.
fn is_there(id: u64, directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| metadata.ino() == id)
}
