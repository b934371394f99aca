//! Docker and Podman tell the names and labels of their containers, read-only.
//!
//! ```text
//!   an id that nobody told about ─▶ sockets ─▶ files ─┐
//!   sockets: a list, then what becomes of containers ─┴─▶ directory
//! ```
//!
//! One thread does it. Whoever meets an id waits for the answer, for a moment: a connection keeps the
//! name that it had when it began. A socket that is not there, or refuses, is tried again later and
//! later; what was known stays known.
#![forbid(unsafe_code)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use schnellru::{ByLength, LruMap};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Directory;
use super::directory::Container;
use super::settings::Engines as Settings;

mod answer;
mod files;
mod socket;
#[cfg(test)]
mod tests;

use crate::clock;
use answer::Change;
use files::{Files, Source};
use socket::{Engine, Refusal};

/// Containers that are known of.
const LIMIT: usize = 16_384;
/// Ids that were asked for and not answered, and questions that wait.
const QUESTIONS: u32 = 4096;
/// How long engines may take to tell of themselves before the agent starts without.
const FIRST: Duration = Duration::from_secs(2);
/// How long whoever meets an id waits for its name.
const MOMENT: Duration = Duration::from_millis(50);
/// Past it nobody waits for a while: the answer names the container a little later.
const BRIEF: Duration = Duration::from_millis(10);
/// Until the same id is asked for again, and until files are looked at again.
const AGAIN: Duration = Duration::from_secs(10);
/// Between two tries of a socket, the first time and at most.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(30);

/// The running thread; it ends when this goes.
#[derive(Debug)]
pub struct Engines {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Engines {
    /// Starts it, and has it asked for what the directory lacks. `begin` is called on the thread
    /// first. Returns when each engine has told of its containers, or will not soon.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        settings: &Settings,
        directory: &Directory,
        begin: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let (questions, asked) = mpsc::channel(QUESTIONS as usize);
        let (end, ended) = oneshot::channel();
        let (trying, tried) = channel();
        let reader = Arc::new(Reader::new(settings, directory.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new().name("engines".to_owned());
        let thread = thread.spawn(move || {
            begin();
            runtime.block_on(async {
                tokio::select! {
                    () = reader.run(asked, trying) => {}
                    _ = ended => {}
                }
            });
        })?;
        // Disconnected once every socket was tried.
        let _late = tried.recv_timeout(FIRST);
        let desk = Desk::new(questions);
        directory.ask(move |id| desk.ask(id));
        Ok(Self {
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        drop(self.end.take());
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the thread that asks container engines ended by a panic");
        }
    }
}

/// An id that somebody met.
struct Question {
    id: String,
    when: Instant,
    answered: SyncSender<()>,
}

/// Where ids are asked for: once in a while each.
struct Desk {
    questions: mpsc::Sender<Question>,
    asked: Mutex<Asked>,
}

struct Asked {
    times: LruMap<String, Instant>,
    /// The engines were slow: nobody waits for them until then.
    slow: Option<Instant>,
}

impl Desk {
    fn new(questions: mpsc::Sender<Question>) -> Self {
        let times = LruMap::new(ByLength::new(QUESTIONS));
        Self {
            questions,
            asked: Mutex::new(Asked { times, slow: None }),
        }
    }

    fn ask(&self, id: &str) {
        let mut asked = lock(&self.asked);
        let now = Instant::now();
        let lately = |time: &mut Instant| now.duration_since(*time) < AGAIN;
        if asked.times.get(id).is_some_and(lately) {
            return;
        }
        asked.times.insert(id.to_owned(), now);
        let (answered, answer) = sync_channel(1);
        let question = Question {
            id: id.to_owned(),
            when: now,
            answered,
        };
        // Full or ended: then it goes by its id for now.
        if self.questions.try_send(question).is_err() {
            return;
        }
        let is_slow = asked.slow.is_some_and(|until| now < until);
        // Whoever meets other ids meanwhile does not wait for this one.
        drop(asked);
        if is_slow {
            return;
        }
        let is_late = answer.recv_timeout(MOMENT).is_err();
        if is_late || now.elapsed() > BRIEF {
            lock(&self.asked).slow = Some(now + AGAIN);
        }
    }
}

/// What the thread works on.
struct Reader {
    directory: Directory,
    sockets: Vec<Socket>,
    book: Mutex<Book>,
}

struct Socket {
    path: PathBuf,
    /// Where it answers.
    engine: Mutex<Option<Engine>>,
}

struct Book {
    files: Files,
    /// Who told of a container, by its id; at most [`LIMIT`].
    tellers: HashMap<String, Teller>,
    /// Whether it was said that there are more.
    is_full: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Teller {
    Socket(usize),
    File(Source),
}

impl Reader {
    fn new(settings: &Settings, directory: Directory) -> Self {
        let sockets = settings.sockets.iter().map(|path| Socket {
            path: path.clone(),
            engine: Mutex::new(None),
        });
        Self {
            directory,
            sockets: sockets.collect(),
            book: Mutex::new(Book {
                files: Files::new(settings.directories.clone()),
                tellers: HashMap::new(),
                is_full: false,
            }),
        }
    }

    async fn run(self: &Arc<Self>, mut asked: mpsc::Receiver<Question>, trying: Sender<()>) {
        let mut followers = JoinSet::new();
        for index in 0..self.sockets.len() {
            let (reader, trying) = (Arc::clone(self), trying.clone());
            followers.spawn(async move { reader.follow(index, trying).await });
        }
        drop(trying);
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                question = asked.recv() => match question {
                    // It is asked again by now, where it is still met.
                    Some(Question { when, .. }) if when.elapsed() >= AGAIN => {}
                    Some(Question { id, answered, .. }) => {
                        self.answer(&id).await;
                        // Whoever asked may have waited long enough.
                        let _unheard = answered.try_send(());
                    }
                    None => return,
                },
                _ = again.tick() => self.look_again(),
            }
        }
    }

    /// Tells of the container with this id, if anybody knows it.
    async fn answer(&self, id: &str) {
        for (index, socket) in self.sockets.iter().enumerate() {
            let Some(engine) = lock(&socket.engine).clone() else {
                continue;
            };
            match engine.one(id).await {
                Ok(Some(container)) => return self.there(container, Teller::Socket(index)),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a container engine is asked in vain"),
            }
        }
        let found = lock(&self.book).files.find(id);
        if let Some((container, source)) = found {
            self.there(container, Teller::File(source));
        }
    }

    /// Keeps up with what a socket tells, for ever. `trying` goes when it was tried.
    async fn follow(&self, index: usize, trying: Sender<()>) {
        let Some(socket) = self.sockets.get(index) else {
            return;
        };
        let path = socket.path.display();
        let mut trying = Some(trying);
        let mut pause = SOONEST;
        let mut is_told = false;
        loop {
            let began = Instant::now();
            let ended = match self.begin(index, &socket.path).await {
                Ok((engine, since)) => {
                    *lock(&socket.engine) = Some(engine.clone());
                    tracing::info!(socket = %path, "a container engine tells names");
                    is_told = false;
                    trying = None;
                    self.listen(index, &engine, since).await
                }
                Err(refusal) => refusal,
            };
            *lock(&socket.engine) = None;
            drop(trying.take());
            if !is_told && !ended.is_absence() {
                tracing::warn!(
                    socket = %path,
                    error = %ended,
                    "a container engine does not tell names, which files tell meanwhile"
                );
                is_told = true;
            }
            if began.elapsed() > LATEST {
                pause = SOONEST;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LATEST);
        }
    }

    /// Has an engine tell of every container; and since when it is to tell of changes.
    async fn begin(&self, index: usize, socket: &Path) -> Result<(Engine, f64), Refusal> {
        let engine = Engine::find(socket).await?;
        // What changes while it lists is told again.
        let since = clock::unix_seconds().floor();
        let containers = engine.list().await?;
        let listed: HashSet<&str> = containers.iter().map(|one| one.id.as_str()).collect();
        let is_gone =
            |id: &str, teller: &Teller| *teller == Teller::Socket(index) && !listed.contains(id);
        let gone = self.ids(is_gone);
        drop(listed);
        for id in gone {
            self.gone(&id);
        }
        for container in containers {
            self.there(container, Teller::Socket(index));
        }
        Ok((engine, since))
    }

    /// Takes what an engine tells, until it does not any more.
    async fn listen(&self, index: usize, engine: &Engine, since: f64) -> Refusal {
        let mut events = match engine.events(since).await {
            Ok(events) => events,
            Err(refusal) => return refusal,
        };
        loop {
            match events.next().await {
                Ok(Change::There(container)) => self.there(container, Teller::Socket(index)),
                Ok(Change::Gone(id)) => self.gone(&id),
                Err(refusal) => return refusal,
            }
        }
    }

    /// Reads the files again that have changed.
    fn look_again(&self) {
        let is_other = |_: &str, teller: &Teller| match teller {
            Teller::File(source) => !Files::is_same(source),
            Teller::Socket(_) => false,
        };
        for id in self.ids(is_other) {
            let found = lock(&self.book).files.find(&id);
            match found {
                Some((container, source)) => self.there(container, Teller::File(source)),
                None => self.gone(&id),
            }
        }
    }

    /// The containers of which this holds.
    fn ids(&self, holds: impl Fn(&str, &Teller) -> bool) -> Vec<String> {
        let book = lock(&self.book);
        let ids = book.tellers.iter().filter(|(id, teller)| holds(id, teller));
        ids.map(|(id, _)| id.clone()).collect()
    }

    fn there(&self, container: Container, teller: Teller) {
        {
            let mut book = lock(&self.book);
            if book.tellers.len() >= LIMIT && !book.tellers.contains_key(&container.id) {
                if !std::mem::replace(&mut book.is_full, true) {
                    tracing::warn!(
                        limit = LIMIT,
                        "there are more containers, which go by their ids"
                    );
                }
                return;
            }
            book.tellers.insert(container.id.clone(), teller);
        }
        let known = self.directory.container(&container.id);
        if known.as_deref() != Some(&container) {
            self.directory.set_container(container);
        }
    }

    fn gone(&self, id: &str) {
        if lock(&self.book).tellers.remove(id).is_some() {
            self.directory.remove_container(id);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
