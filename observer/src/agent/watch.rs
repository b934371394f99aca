//! What the agent looks after while it runs, on a thread that no byte passes: a configuration that
//! changes, workloads that come, selected cgroups that go and come back, stages that have died.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::follow::{Cause, Follow};
use super::reload::Reload;
use crate::capture::Capture;
use crate::cli::Failure;
use crate::pipeline::{Gone, Interpreter, Pipeline};
use crate::workloads::cgroup;
use crate::workloads::roster::Roster;

/// Between two looks at the selection: a connection that a new cgroup opens before the next one is
/// joined late.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// Between two looks at every workload.
const ROLL_CALL: Duration = Duration::from_secs(2);

/// Between two passes over the selection, however many cgroups come.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// What is looked after.
pub(super) struct Watched<I> {
    pub(super) capture: Capture,
    pub(super) pipeline: Pipeline<I>,
    pub(super) follow: Follow,
    pub(super) roster: Roster,
    pub(super) failure: Failure,
    pub(super) reload: Reload,
}

/// What it is asked for.
pub(super) enum Order {
    Reload,
    /// Workloads came or went.
    Changed,
    End,
}

/// Calls the thread when workloads come or go; called often, it is one order.
#[derive(Clone)]
pub(super) struct Wake {
    orders: Sender<Order>,
    called: Arc<AtomicBool>,
}

impl Wake {
    /// With the other end, on which the thread listens.
    pub(super) fn new() -> (Self, Receiver<Order>) {
        let (orders, receiver) = channel();
        let called = Arc::default();
        (Self { orders, called }, receiver)
    }

    pub(super) fn call(&self) {
        if !self.called.swap(true, Ordering::AcqRel) {
            // Ended, it does not care any more.
            let _ended = self.orders.send(Order::Changed);
        }
    }

    /// The call was heard: another one is another order.
    pub(super) fn hear(&self) {
        self.called.store(false, Ordering::Release);
    }
}

/// The running thread.
pub(super) struct Watch {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts it.
    pub(super) fn start<I: Interpreter>(
        watched: Watched<I>,
        wake: Wake,
        receiver: Receiver<Order>,
    ) -> std::io::Result<Self> {
        let orders = wake.orders.clone();
        let thread = std::thread::Builder::new().name("watch".to_owned());
        let thread = thread.spawn(move || watched.run(&wake, &receiver))?;
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
        let _ended = self.orders.send(Order::End);
        if self.thread.join().is_err() {
            tracing::error!("the watch thread ended by a panic");
        }
    }
}

impl<I: Interpreter> Watched<I> {
    fn run(mut self, wake: &Wake, orders: &Receiver<Order>) {
        let mut called = Instant::now();
        let mut tick = called + TICK;
        // When the next pass over the selection is due, and when the last one ended.
        let mut due = None;
        let mut passed = called;
        let mut refused = false;
        let mut failed = false;
        let mut gone = Vec::new();
        let mut forgotten = Vec::new();
        loop {
            let until = due.map_or(tick, |due| tick.min(due));
            let ordered = match orders.recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(Order::Reload) => true,
                Ok(Order::Changed) => {
                    wake.hear();
                    due.get_or_insert(passed + PAUSE);
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => break,
            };
            let now = Instant::now();
            let ticks = now >= tick;
            if ticks {
                tick = now + TICK;
            }
            if ordered || ticks && self.reload.is_due() {
                gone.extend(self.reload.run(&mut self.capture, &mut self.follow));
                refused = false;
                continue;
            }
            if due.is_some_and(|due| due <= now) || ticks && self.follow.looks() {
                due = None;
                gone.extend(self.follow.pass(&mut self.capture, Cause::Came));
                passed = Instant::now();
            }
            if !ticks {
                continue;
            }
            // A tick later, when the rings hold nothing of them any more.
            if !forgotten.is_empty() {
                let selection = self.follow.selection();
                self.pipeline.forget(&left(&forgotten, &selection));
            }
            forgotten = std::mem::take(&mut gone);
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
        for cgroup in self.follow.named() {
            if self.capture.is_selected(cgroup) || !cgroup.is_dir() {
                continue;
            }
            match self.capture.attach(cgroup) {
                Ok(()) => {
                    self.follow.arrived(cgroup, Cause::Came);
                    tracing::info!(cgroup = %cgroup.display(), "a selected cgroup is back");
                }
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
fn left(directories: &[PathBuf], selection: &[PathBuf]) -> Gone {
    let mut ids = Vec::new();
    for directory in directories {
        cgroup::visit(directory, cgroup::LIMIT, |directory| {
            let is_selected = selection.iter().any(|above| directory.starts_with(above));
            let metadata = (!is_selected).then(|| fs::metadata(directory).ok());
            let id = metadata.flatten().map(|metadata| metadata.ino());
            ids.extend(id);
            id.is_some()
        });
    }
    ids.into_iter().collect()
}

/// Whether a cgroup's directory is still that cgroup's.
pub(super) fn is_there(id: u64, directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| metadata.ino() == id)
}
