//! What the agent looks after while it runs, on a thread that no byte passes: selected cgroups that
//! go and come back, workloads that are gone, stages that have died.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::capture::Capture;
use crate::cli::Failure;
use crate::pipeline::{Interpreter, Pipeline};
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
}

/// The running thread.
pub(super) struct Watch {
    /// Dropped to end it.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts it.
    pub(super) fn start<I: Interpreter>(watched: Watched<I>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("watch".to_owned());
        let thread = thread.spawn(move || watched.run(&stopped))?;
        Ok(Self { stop, thread })
    }

    /// Detaches the programs, drains what they left in the rings, and returns when every thread has
    /// ended.
    pub(super) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the watch thread ended by a panic");
        }
    }
}

impl<I: Interpreter> Watched<I> {
    fn run(mut self, stopped: &Receiver<()>) {
        let mut called = Instant::now();
        let mut refused = false;
        let mut failed = false;
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
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

/// Whether a cgroup's directory is still that cgroup's.
fn is_there(id: u64, directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| metadata.ino() == id)
}
