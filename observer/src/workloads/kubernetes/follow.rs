//! Lists one kind of object and watches it, for as long as somebody listens.
//!
//! ```text
//!   list (pages) ─▶ watch from its version ─▶ events, bookmarks ─▶ the server ends it, or it breaks
//!        ▲                    ▲                                               │
//!        └── 410: too old     └───────────── from the last version ◀──────────┘
//! ```
//!
//! `kube`'s own watcher tells of objects only: neither that a watch stands again after it broke nor
//! that a bookmark came. How old what is known is could not be said by it.

use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tower::retry::backoff::{
    Backoff as _, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff as _,
};
use tower::util::rng::HasherRng;

use super::objects::Watched;
use super::reach::Reach;
use super::shelf::Event;
use super::trouble::Trouble;

/// Objects of a page; a tenth of that, and then one, where a page is longer than is read.
const PAGE: u32 = 100;
/// How long a page, or the head of a watch, may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a watch may say nothing. The server ends it by itself before that, and sends a bookmark
/// about once a minute.
const SILENCE: Duration = Duration::from_secs(295);
/// Between two tries, the first and the longest; up to half as much again is added at random, so
/// that the agents of a cluster do not come together.
const PAUSES: (Duration, Duration, f64) =
    (Duration::from_millis(500), Duration::from_secs(30), 0.5);
/// A watch that ended sooner than this is not begun again at once.
const BRIEF: Duration = Duration::from_secs(1);

/// What is told while one kind is followed.
#[derive(Debug)]
pub(super) enum Told<T> {
    /// Of an object, or of the list.
    Event(Event<T>),
    /// All that was told is what the API says now.
    Current,
    /// A request came to nothing; which verb it was.
    Trouble(&'static str, Trouble),
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// All namespaces where there is none.
    pub(super) namespace: Option<String>,
    /// As `--field-selector` has it.
    pub(super) fields: Option<String>,
}

impl Scope {
    pub(super) fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Watched + Resource<Scope = NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }
}

/// Whom it is told.
pub(super) struct Listener<T, M> {
    pub(super) sender: mpsc::Sender<M>,
    /// Says which watch it is of.
    pub(super) wrap: Box<dyn Fn(Told<T>) -> M + Send + Sync>,
}

/// Follows one kind until nobody listens.
pub(super) async fn follow<K, M>(reach: Reach, scope: Scope, listener: Listener<K::Said, M>)
where
    K: Watched + Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let follow = Follow::<K, M> {
        reach,
        scope,
        listener,
    };
    let mut version = None;
    let mut page = PAGE;
    let mut pauses = pauses();
    loop {
        let began = Instant::now();
        match follow.round(&mut version, &mut page).await {
            Ok(()) if began.elapsed() >= BRIEF => {
                pauses = self::pauses();
                continue;
            }
            Ok(()) => {}
            Err(Stop::Deaf) => return,
            Err(Stop::Trouble(verb, trouble)) => {
                if trouble.is_of_files() {
                    follow.reach.forget();
                }
                // Where it went on from may be what the server does not understand.
                if matches!(
                    trouble,
                    Trouble::Expired | Trouble::Long | Trouble::Garbled | Trouble::Status(_)
                ) {
                    version = None;
                }
                if trouble == Trouble::Long && verb == "list" {
                    page = (page / 10).max(1);
                }
                if follow.tell(Told::Trouble(verb, trouble)).await.is_err() {
                    return;
                }
                if began.elapsed() >= PAUSES.1 {
                    pauses = self::pauses();
                }
            }
        }
        match &mut pauses {
            Some(pauses) => pauses.next_backoff().await,
            None => sleep(PAUSES.1).await,
        }
    }
}

/// `None` where the constants contradict each other.
fn pauses() -> Option<ExponentialBackoff<HasherRng>> {
    let (least, most, jitter) = PAUSES;
    let maker = ExponentialBackoffMaker::new(least, most, jitter, HasherRng::default());
    maker.ok().map(|mut maker| maker.make_backoff())
}

/// Why a round ended before the server ended it.
enum Stop {
    Deaf,
    Trouble(&'static str, Trouble),
}

struct Follow<K: Watched, M> {
    reach: Reach,
    scope: Scope,
    listener: Listener<K::Said, M>,
}

impl<K, M> Follow<K, M>
where
    K: Watched + Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    async fn round(&self, version: &mut Option<String>, page: &mut u32) -> Result<(), Stop> {
        let client = self.reach.client().await;
        let api: Api<K> = self.scope.api(client.map_err(failed("list"))?);
        let from = if let Some(version) = version {
            version
        } else {
            let listed = self.list(&api, *page).await?;
            *page = PAGE;
            version.insert(listed)
        };
        let parameters = WatchParams {
            field_selector: self.scope.fields.clone(),
            ..WatchParams::default()
        };
        let events = answered(ANSWER, api.watch(&parameters, from)).await;
        let mut events = pin!(events.map_err(failed("watch"))?);
        self.tell(Told::Current).await?;
        loop {
            let event = timeout(SILENCE, events.next()).await;
            let event = event.map_err(|_late| Stop::Trouble("watch", Trouble::Late))?;
            let Some(event) = event else {
                return Ok(());
            };
            let event = event.map_err(|error| Stop::Trouble("watch", error.into()))?;
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    version.clone_from(&object.meta().resource_version);
                    self.tell(Told::Event(Event::Set(object.said()))).await?;
                }
                WatchEvent::Deleted(object) => {
                    version.clone_from(&object.meta().resource_version);
                    self.tell(Told::Event(Event::Gone(object.said()))).await?;
                }
                WatchEvent::Bookmark(bookmark) => {
                    *version = Some(bookmark.metadata.resource_version);
                }
                WatchEvent::Error(status) => {
                    return Err(Stop::Trouble("watch", status.code.into()));
                }
            }
            self.tell(Told::Current).await?;
        }
    }

    /// Tells of all there are, so many at a time, and returns the version from which to watch.
    async fn list(&self, api: &Api<K>, page: u32) -> Result<String, Stop> {
        let mut parameters = ListParams {
            field_selector: self.scope.fields.clone(),
            ..ListParams::default().limit(page)
        };
        self.tell(Told::Event(Event::Begun)).await?;
        loop {
            let page = answered(ANSWER, api.list(&parameters)).await;
            let page = page.map_err(failed("list"))?;
            for object in page.items {
                self.tell(Told::Event(Event::Listed(object.said()))).await?;
            }
            let rest = page.metadata.continue_.filter(|token| !token.is_empty());
            if rest.is_none() {
                let version = page.metadata.resource_version;
                let version = version.ok_or(Stop::Trouble("list", Trouble::Garbled))?;
                self.tell(Told::Event(Event::Complete)).await?;
                return Ok(version);
            }
            parameters.continue_token = rest;
        }
    }

    async fn tell(&self, told: Told<K::Said>) -> Result<(), Stop> {
        let Listener { sender, wrap } = &self.listener;
        sender.send(wrap(told)).await.map_err(|_closed| Stop::Deaf)
    }
}

fn failed(verb: &'static str) -> impl Fn(Trouble) -> Stop {
    move |trouble| Stop::Trouble(verb, trouble)
}

/// What a request answers, in time.
pub(super) async fn answered<A>(
    within: Duration,
    request: impl Future<Output = kube::Result<A>>,
) -> Result<A, Trouble> {
    match timeout(within, request).await {
        Ok(answer) => Ok(answer?),
        Err(_late) => Err(Trouble::Late),
    }
}
