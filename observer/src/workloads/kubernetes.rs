//! What the Kubernetes API says of who is who: this node's pods, those of other nodes that may speak
//! to them, services and what is behind them.
//!
//! ```text
//!   reach ──▶ follow, one for each kind ──▶ shelf ──▶ known ──▶ directory
//!             (list, watch, back off)                   └─▶ books ──▶ scrapes, log
//! ```
//!
//! Nothing waits for the API: it is asked on a thread of its own, what is known stays while it is
//! away, and the agent runs without ever having reached it.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Directory;
use super::Kubernetes as Settings;

mod books;
mod check;
mod follow;
mod known;
mod objects;
mod reach;
mod shelf;
mod trouble;

pub use books::{Books, Informed};
pub use check::check;
pub use reach::Mark;

use books::Kind;
use follow::{Listener, Scope, Told, follow};
use known::Known;
use objects::{EndpointSlice, Pod, SaidPod, SaidService, SaidSlice, Service};
use reach::Reach;
use trouble::Trouble;

/// How long the start waits for the first lists.
const FIRST: Duration = Duration::from_secs(5);
/// How long changes are gathered before it is derived from them who has which address.
const GATHER: Duration = Duration::from_millis(100);
/// Events on their way to who keeps them.
const QUEUE: usize = 256;

/// The running thread; ends when this goes.
#[derive(Debug)]
pub struct Kubernetes {
    books: Arc<Books>,
    first: Receiver<()>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Kubernetes {
    /// Begins to ask, where a node is named. Of other nodes, pods in these namespaces are asked for,
    /// or all where there are none. `prepare` is called on the thread before anything else.
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
        let scopes = scopes(node, namespaces);
        let informer = Informer {
            known: Known::new(directory, scopes.len()),
            streams: streams(scopes.len()),
            books: Arc::clone(&books),
            first: Some(told),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new().name("kubernetes".to_owned());
        let thread = thread.spawn(move || {
            prepare();
            runtime.block_on(async {
                tokio::select! {
                    () = informer.run(&reach, scopes) => {}
                    _ended = ended => {}
                }
            });
            // Not for a name that is being resolved.
            runtime.shutdown_background();
        })?;
        Ok(Some(Self {
            books,
            first,
            end: Some(end),
            thread: Some(thread),
        }))
    }

    /// Waits until all is known that is to be, for a bounded time.
    pub fn wait(&self) {
        if self.first.recv_timeout(FIRST).is_err() {
            tracing::warn!(
                waited = ?FIRST,
                "the Kubernetes API has not told of all pods and services yet; names follow"
            );
        }
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

/// Of watches of pods: first of this node's, then of other nodes'.
fn scopes(node: &str, namespaces: &[String]) -> Vec<Scope> {
    let here = Scope {
        namespace: None,
        fields: Some(format!("spec.nodeName={node}")),
    };
    // One that no node has yet has no address either.
    let elsewhere = format!("spec.nodeName!={node},spec.nodeName!=");
    let elsewhere = |namespace| Scope {
        namespace,
        fields: Some(elsewhere.clone()),
    };
    let mut scopes = vec![here];
    if namespaces.is_empty() {
        scopes.push(elsewhere(None));
    }
    scopes.extend(namespaces.iter().cloned().map(Some).map(elsewhere));
    scopes
}

/// What a watch has come to.
struct Stream {
    kind: Kind,
    /// When it last said that what is known is current; 0 before it did.
    heard: f64,
    /// Whether it has nothing to wait for at the start.
    answered: bool,
    /// Whether the last request came to something.
    stands: bool,
}

/// The watches, in the order of their numbers: of pods as many as [`scopes`], services, slices.
fn streams(pods: usize) -> Vec<Stream> {
    let elsewhere = std::iter::repeat_n(Kind::PodsElsewhere, pods.saturating_sub(1));
    let kinds = [Kind::Pods].into_iter().chain(elsewhere);
    let kinds = kinds.chain([Kind::Services, Kind::EndpointSlices]);
    let stream = |kind| Stream {
        kind,
        heard: 0.0,
        answered: false,
        stands: false,
    };
    kinds.map(stream).collect()
}

/// What one of the watches told.
enum Message {
    Pod(usize, Told<SaidPod>),
    Service(usize, Told<SaidService>),
    Slice(usize, Told<SaidSlice>),
}

/// Keeps what the watches tell.
struct Informer {
    known: Known,
    streams: Vec<Stream>,
    books: Arc<Books>,
    /// Taken once the start has nothing to wait for.
    first: Option<SyncSender<()>>,
}

impl Informer {
    /// Never ends.
    async fn run(mut self, reach: &Reach, scopes: Vec<Scope>) {
        let (sender, mut messages) = mpsc::channel(QUEUE);
        let mut watches = JoinSet::new();
        let pods = scopes.len();
        for (number, scope) in scopes.into_iter().enumerate() {
            let listener = Listener {
                sender: sender.clone(),
                wrap: Box::new(move |told| Message::Pod(number, told)),
            };
            watches.spawn(follow::<Pod, _>(reach.clone(), scope, listener));
        }
        let listener = Listener {
            sender: sender.clone(),
            wrap: Box::new(move |told| Message::Service(pods, told)),
        };
        watches.spawn(follow::<Service, _>(
            reach.clone(),
            Scope::default(),
            listener,
        ));
        let listener = Listener {
            sender,
            wrap: Box::new(move |told| Message::Slice(pods + 1, told)),
        };
        watches.spawn(follow::<EndpointSlice, _>(
            reach.clone(),
            Scope::default(),
            listener,
        ));
        let mut due = None;
        loop {
            let gathered = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.take(message),
                    // A watch ends with its listener only.
                    None => return,
                },
                () = gathered => self.known.tell(),
            }
            self.begin();
            due = match due {
                _ if !self.known.is_stale() => None,
                None => Some(Instant::now() + GATHER),
                Some(due) => Some(due),
            };
        }
    }

    fn take(&mut self, message: Message) {
        let (number, told, refused, objects) = match message {
            Message::Pod(number, told) => {
                let (said, refused) = split(told, |event| self.known.pod(number, event));
                let shelves = self.known.pods.iter();
                let elsewhere = shelves.skip(1).map(shelf::Shelf::len).sum();
                let here = self.known.pods.first().map_or(0, shelf::Shelf::len);
                (
                    number,
                    said,
                    refused,
                    if number == 0 { here } else { elsewhere },
                )
            }
            Message::Service(number, told) => {
                let (said, refused) = split(told, |event| self.known.service(event));
                (number, said, refused, self.known.services.len())
            }
            Message::Slice(number, told) => {
                let (said, refused) = split(told, |event| self.known.slice(event));
                (number, said, refused, self.known.slices.len())
            }
        };
        let Some(stream) = self.streams.get_mut(number) else {
            return;
        };
        let kind = stream.kind;
        match told {
            Said::Objects => {
                self.books.objects(kind, objects);
                self.books.refused(kind, refused);
            }
            Said::Current => {
                stream.heard = books::now();
                stream.answered = true;
                stream.stands = true;
                self.heard(kind);
            }
            Said::Trouble(verb, trouble) => {
                // To wait for a right that is not given would be in vain.
                stream.answered |= trouble == Trouble::Forbidden;
                stream.stands = false;
                self.books.failed(kind, verb, &trouble);
            }
        }
    }

    /// A kind is as current as the watch of it that is the least.
    fn heard(&self, kind: Kind) {
        let streams = || self.streams.iter().filter(|stream| stream.kind == kind);
        let oldest = streams().map(|stream| stream.heard);
        let oldest = oldest.fold(f64::INFINITY, f64::min);
        self.books.synchronized(kind, oldest);
        if streams().all(|stream| stream.stands) {
            self.books.stands(kind);
        }
    }

    /// Lets the start go on once there is nothing to wait for.
    fn begin(&mut self) {
        if self.first.is_some() && self.streams.iter().all(|stream| stream.answered) {
            self.known.tell();
            if let Some(first) = self.first.take() {
                // It may have gone on without.
                let _late = first.try_send(());
            }
        }
    }
}

/// What is left of what was told once its event was taken.
enum Said {
    Objects,
    Current,
    Trouble(&'static str, Trouble),
}

fn split<T>(told: Told<T>, take: impl FnOnce(shelf::Event<T>) -> usize) -> (Said, usize) {
    match told {
        Told::Event(event) => (Said::Objects, take(event)),
        Told::Current => (Said::Current, 0),
        Told::Trouble(verb, trouble) => (Said::Trouble(verb, trouble), 0),
    }
}
