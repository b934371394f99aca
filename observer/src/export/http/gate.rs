//! The door: what is asked before a request is answered, and how that changes while the agent runs.
//!
//! `/healthz` and `/readyz` say nothing of the platform and are open to whoever watches over the
//! process: kubelet's probes cannot carry a password.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use super::Shared;
use super::access::{Access, Verdict};

/// What is open to everybody.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Reads the web configuration again.
type Load = Box<dyn Fn() -> Result<Access, String> + Send + Sync>;

/// The door of a server.
pub struct Gate {
    access: ArcSwap<Access>,
    source: Option<Source>,
    /// One hash at a time: whoever guesses passwords gets no more of the processor than that.
    proofs: Semaphore,
}

/// Where the web configuration comes from.
struct Source {
    file: PathBuf,
    load: Load,
    /// How its files were when they were last read.
    seen: Mutex<Vec<Seen>>,
}

/// What changes with a file's content; `None` where there is none.
type Seen = Option<(u64, i64, i64, u64)>;

impl Default for Gate {
    fn default() -> Self {
        Self::with(Access::default(), None)
    }
}

impl Gate {
    /// With what a web configuration says, which is read again when it or what it names changes.
    ///
    /// # Errors
    /// What `load` says.
    pub fn of(file: PathBuf, load: Load) -> Result<Self, String> {
        let access = load()?;
        let seen = Mutex::new(look(&file, &access));
        Ok(Self::with(access, Some(Source { file, load, seen })))
    }

    fn with(access: Access, source: Option<Source>) -> Self {
        Self {
            access: ArcSwap::from_pointee(access),
            source,
            proofs: Semaphore::new(1),
        }
    }

    /// What is in force.
    pub(super) fn access(&self) -> Arc<Access> {
        self.access.load_full()
    }

    /// Looks whether a file has changed, and reads all again where one has. What is wrong does not
    /// come into force; whether that is so.
    pub(super) fn look(&self) -> bool {
        let Some(source) = &self.source else {
            return true;
        };
        let now = look(&source.file, &self.access.load());
        let mut seen = source.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return true;
        }
        match (source.load)() {
            Ok(access) => {
                *seen = look(&source.file, &access);
                self.access.store(Arc::new(access));
                tracing::info!("the web configuration was read again and is in force");
                true
            }
            Err(problem) => {
                *seen = now;
                tracing::error!(
                    problem,
                    "the web configuration was refused; the one before it stays"
                );
                false
            }
        }
    }

    /// Whether a request may be answered.
    async fn lets_in(&self, header: Option<&[u8]>) -> bool {
        let access = self.access();
        match access.judge(header) {
            Verdict::Granted => true,
            Verdict::Denied => false,
            Verdict::Unproven(credentials) => {
                // The semaphore is never closed, so a permit always comes.
                let _turn = self.proofs.acquire().await;
                let proof = tokio::task::spawn_blocking(move || access.prove(&credentials));
                proof.await.unwrap_or(false)
            }
        }
    }
}

fn look(file: &PathBuf, access: &Access) -> Vec<Seen> {
    let of = |file: Metadata| (file.ino(), file.mtime(), file.mtime_nsec(), file.len());
    let files = [file].into_iter().chain(&access.files);
    files.map(|path| fs::metadata(path).ok().map(of)).collect()
}

/// Answers only those who are let in.
pub(super) async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let header = request.headers().get(header::AUTHORIZATION);
    let header = header.map(|value| value.as_bytes().to_vec());
    if shared.gate.lets_in(header.as_deref()).await {
        return next.run(request).await;
    }
    let denied = &shared.overview.agent.scrapes.denied;
    denied.fetch_add(1, Ordering::Relaxed);
    let challenge = [(header::WWW_AUTHENTICATE, shared.gate.access().challenge())];
    let why = "this agent answers those who are named in its web configuration\n";
    (StatusCode::UNAUTHORIZED, challenge, why).into_response()
}
