//! What the Kubernetes API says of who is who: this node's pods, those of other nodes that may speak
//! to them, services and what is behind them.
//!
//! ```text
//!   reach ──▶ follow, one for each ──▶ informer: shelves, known ──▶ directory
//!             (list, watch, back off)                   └─▶ books ──▶ scrapes, log
//! ```
//!
//! Nothing waits for the API: it is asked on a thread of its own, what is known stays while it is
//! away, and the agent runs without ever having reached it.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::Directory;
use super::Kubernetes as Settings;

mod books;
mod bounded;
mod check;
mod follow;
mod informer;
mod known;
mod objects;
mod reach;
mod shelf;
mod trouble;

pub use books::{Books, Informed};
pub use check::{check, unreachable};
pub use reach::Mark;

use informer::Informer;
use reach::Reach;

/// How long the start waits for the first lists.
const FIRST: Duration = Duration::from_secs(5);

/// The namespaces in which pods of other nodes are asked for; all where there are none.
#[derive(Clone, Debug)]
pub struct Namespaces(watch::Sender<Vec<String>>);

impl Namespaces {
    /// Asks in these from now on.
    pub fn replace(&self, namespaces: &[String]) {
        self.0.send_if_modified(|now| {
            let is_new = *now != namespaces;
            if is_new {
                *now = namespaces.to_vec();
            }
            is_new
        });
    }
}

/// The running thread; ends when this goes.
#[derive(Debug)]
pub struct Kubernetes {
    books: Arc<Books>,
    namespaces: Namespaces,
    first: Receiver<()>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Kubernetes {
    /// Begins to ask, where a node is named. Of other nodes, pods in these namespaces are asked for,
    /// or all where there are none, until [others](Self::namespaces) are told. `prepare` is called on the thread before anything else.
    ///
    /// # Errors
    /// Where no thread or no runtime can be had.
    pub fn start(
        settings: &Settings,
        namespaces: &[String],
        directory: Directory,
        mark: Mark,
        prepare: fn(),
    ) -> io::Result<Option<Self>> {
        let Some(node) = &settings.node else {
            return Ok(None);
        };
        let books = Arc::new(Books::default());
        let (told, first) = sync_channel(1);
        let (end, ended) = oneshot::channel();
        let reach = Reach::new(settings.kubeconfig.clone(), mark);
        let informer = Informer::new(node, directory, Arc::clone(&books), told);
        let namespaces = Namespaces(watch::Sender::new(namespaces.to_vec()));
        let asked = namespaces.0.subscribe();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new().name("kubernetes".to_owned());
        let thread = thread.spawn(move || {
            prepare();
            runtime.block_on(async {
                tokio::select! {
                    () = informer.run(&reach, asked) => {}
                    _ended = ended => {}
                }
            });
            // Not for a name that is being resolved.
            runtime.shutdown_background();
        })?;
        Ok(Some(Self {
            books,
            namespaces,
            first,
            end: Some(end),
            thread: Some(thread),
        }))
    }

    /// What the start waits for in [`Self::wait`], in a sentence.
    #[must_use]
    pub fn waits() -> String {
        format!(
            "waiting, for {FIRST:?} at most, for the Kubernetes API to tell of its pods and services"
        )
    }

    /// Waits until all is known that is to be, for a bounded time.
    pub fn wait(&self) {
        if self.first.recv_timeout(FIRST).is_err() {
            tracing::warn!(
                waited = ?FIRST,
                "the Kubernetes API has not told of all pods and services yet; names, and what is \
                 selected by them, follow"
            );
        }
    }

    /// Where other namespaces are told.
    #[must_use]
    pub fn namespaces(&self) -> Namespaces {
        self.namespaces.clone()
    }

    /// What scrapes see of it.
    #[must_use]
    pub fn books(&self) -> Arc<Books> {
        Arc::clone(&self.books)
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the thread that asks the Kubernetes API ended by a panic");
        }
    }
}
