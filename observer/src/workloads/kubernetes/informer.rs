//! Keeps what the watches tell, and begins and ends those of other nodes' pods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::books::{self, Books, Kind};
use super::follow::{Listener, Scope, Told, follow};
use super::known::Known;
use super::objects::{EndpointSlice, Pod, SaidPod, SaidService, SaidSlice, Service};
use super::reach::Reach;
use super::shelf::{self, Shelf};
use super::trouble::Trouble;
use crate::workloads::Directory;

/// How long changes are gathered before it is derived from them who has which address.
const GATHER: Duration = Duration::from_millis(100);
/// Events on their way to who keeps them.
const QUEUE: usize = 256;

/// The watch of this node's pods.
const HERE: usize = 0;
const SERVICES: usize = 1;
const SLICES: usize = 2;

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

impl Stream {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            heard: 0.0,
            answered: false,
            stands: false,
        }
    }
}

/// A watch of other nodes' pods.
struct Elsewhere {
    number: usize,
    task: AbortHandle,
}

/// What one of the watches told.
enum Message {
    Pod(usize, Told<SaidPod>),
    Service(Told<SaidService>),
    Slice(Told<SaidSlice>),
}

/// Keeps what the watches tell.
pub(super) struct Informer {
    node: String,
    known: Known,
    /// By the number of the watch. Numbers are given once, so that what a watch said before it was
    /// ended is nobody's.
    streams: BTreeMap<usize, Stream>,
    last: usize,
    /// By namespace; `None` for all of them.
    elsewhere: BTreeMap<Option<String>, Elsewhere>,
    /// Watches that were ended: what they told holds until those in their place have told all.
    ended: Vec<usize>,
    books: Arc<Books>,
    /// Taken once the start has nothing to wait for.
    first: Option<SyncSender<()>>,
}

impl Informer {
    pub(super) fn new(
        node: &str,
        directory: Directory,
        books: Arc<Books>,
        first: SyncSender<()>,
    ) -> Self {
        Self {
            node: node.to_owned(),
            known: Known::new(directory),
            streams: BTreeMap::new(),
            last: SLICES,
            elsewhere: BTreeMap::new(),
            ended: Vec::new(),
            books,
            first: Some(first),
        }
    }

    /// Never ends.
    pub(super) async fn run(mut self, reach: &Reach, mut namespaces: watch::Receiver<Vec<String>>) {
        let (sender, mut messages) = mpsc::channel(QUEUE);
        let mut watches = JoinSet::new();
        let here = Scope {
            namespace: None,
            fields: Some(format!("spec.nodeName={}", self.node)),
        };
        self.pods(HERE, Kind::Pods, here, reach, &sender, &mut watches);
        self.streams.insert(SERVICES, Stream::of(Kind::Services));
        let listener = Listener {
            sender: sender.clone(),
            wrap: Box::new(Message::Service),
        };
        let everywhere = Scope::default();
        watches.spawn(follow::<Service, _>(reach.clone(), everywhere, listener));
        self.streams
            .insert(SLICES, Stream::of(Kind::EndpointSlices));
        let listener = Listener {
            sender: sender.clone(),
            wrap: Box::new(Message::Slice),
        };
        let everywhere = Scope::default();
        watches.spawn(follow::<EndpointSlice, _>(
            reach.clone(),
            everywhere,
            listener,
        ));
        let asked = namespaces.borrow_and_update().clone();
        self.ask_in(&asked, reach, &sender, &mut watches);
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
                    // This end holds a sender.
                    None => return,
                },
                changed = namespaces.changed() => {
                    // Whoever could tell of others is gone: the thread ends.
                    if changed.is_err() {
                        return;
                    }
                    let asked = namespaces.borrow_and_update().clone();
                    self.ask_in(&asked, reach, &sender, &mut watches);
                }
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

    /// Asks for other nodes' pods in these namespaces, or in all where there are none, and no more
    /// in others.
    fn ask_in(
        &mut self,
        namespaces: &[String],
        reach: &Reach,
        sender: &mpsc::Sender<Message>,
        watches: &mut JoinSet<()>,
    ) {
        let mut asked: Vec<Option<String>> = namespaces.iter().cloned().map(Some).collect();
        if asked.is_empty() {
            asked.push(None);
        }
        for namespace in &asked {
            if self.elsewhere.contains_key(namespace) {
                continue;
            }
            self.last += 1;
            let number = self.last;
            // One that no node has yet has no address either.
            let fields = format!("spec.nodeName!={},spec.nodeName!=", self.node);
            let scope = Scope {
                namespace: namespace.clone(),
                fields: Some(fields),
            };
            let task = self.pods(number, Kind::PodsElsewhere, scope, reach, sender, watches);
            let of = Elsewhere { number, task };
            self.elsewhere.insert(namespace.clone(), of);
        }
        let ended = self
            .elsewhere
            .extract_if(.., |namespace, _| !asked.contains(namespace));
        for (_, ended) in ended {
            ended.task.abort();
            self.streams.remove(&ended.number);
            self.ended.push(ended.number);
        }
        while watches.try_join_next().is_some() {}
        self.let_go();
    }

    /// Forgets what ended watches told, once nothing is missing that others are to tell instead.
    fn let_go(&mut self) {
        let is_told = |stream: &Stream| stream.kind != Kind::PodsElsewhere || stream.heard > 0.0;
        if self.ended.is_empty() || !self.streams.values().all(is_told) {
            return;
        }
        for number in self.ended.drain(..) {
            self.known.end_pods(number);
        }
        self.books
            .objects(Kind::PodsElsewhere, self.known.elsewhere(HERE));
    }

    fn pods(
        &mut self,
        number: usize,
        kind: Kind,
        scope: Scope,
        reach: &Reach,
        sender: &mpsc::Sender<Message>,
        watches: &mut JoinSet<()>,
    ) -> AbortHandle {
        self.streams.insert(number, Stream::of(kind));
        self.known.begin_pods(number);
        let listener = Listener {
            sender: sender.clone(),
            wrap: Box::new(move |told| Message::Pod(number, told)),
        };
        watches.spawn(follow::<Pod, _>(reach.clone(), scope, listener))
    }

    fn take(&mut self, message: Message) {
        let (number, told, refused, objects) = match message {
            Message::Pod(number, told) => {
                let (said, refused) = split(told, |event| self.known.pod(number, event));
                let objects = if number == HERE {
                    self.known.pods.get(&HERE).map_or(0, Shelf::len)
                } else {
                    self.known.elsewhere(HERE)
                };
                (number, said, refused, objects)
            }
            Message::Service(told) => {
                let (said, refused) = split(told, |event| self.known.service(event));
                (SERVICES, said, refused, self.known.services.len())
            }
            Message::Slice(told) => {
                let (said, refused) = split(told, |event| self.known.slice(event));
                (SLICES, said, refused, self.known.slices.len())
            }
        };
        let Some(stream) = self.streams.get_mut(&number) else {
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
                self.let_go();
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
        let streams = || self.streams.values().filter(|stream| stream.kind == kind);
        // One that began later is not heard yet; the others are no older for it.
        let has_begun = self.first.is_none();
        let counts = |stream: &&Stream| stream.heard > 0.0 || !has_begun;
        let oldest = streams().filter(counts).map(|stream| stream.heard);
        let oldest = oldest.fold(f64::INFINITY, f64::min);
        self.books.synchronized(kind, oldest);
        if streams().all(|stream| stream.stands) {
            self.books.stands(kind);
        }
    }

    /// Lets the start go on once there is nothing to wait for.
    fn begin(&mut self) {
        if self.first.is_some() && self.streams.values().all(|stream| stream.answered) {
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
