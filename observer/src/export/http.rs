//! `/metrics`, `/healthz` and `/readyz`; `/` for a person, and the same as JSON.
//!
//! A client costs a bounded amount whatever it does: a connection serves one request, must send its
//! head and take its whole answer in time ([`Patience`]); there are at most [`CONNECTIONS`] of them,
//! at most [`SCRAPES`] scrapes and as many views. Scrapes are rendered from what is published, chunk
//! by chunk as the client reads, while [`Sources`] are read for them, which come last; views are bounded by their
//! rows. The data path never waits for any of it. Who may ask, and whether in plaintext, is the web
//! configuration's ([`Gate`]).
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse as _, IntoResponseParts, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

use super::encode::{CONTENT_TYPE, Scrape};
use super::page;
use super::sources::Sources;
use super::status::{MOST_ROWS, Overview, ROWS};
use crate::clock;
pub use access::{Access, AccessError, WebSettings};
use body::{Held, ScrapeBody};
pub use gate::Gate;

mod access;
mod body;
mod gate;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To send its request's head.
    pub head: Duration,
    /// From being accepted to the last byte of its answer.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            answer: Duration::from_secs(30),
        }
    }
}

/// Connections at a time; more wait to be accepted.
pub const CONNECTIONS: usize = 64;
/// Scrapes at a time; more are answered with 503.
pub const SCRAPES: usize = 4;
/// Pages and statuses at a time; more are answered with 503.
pub const VIEWS: usize = 4;
/// Between two samples for the rates.
const SAMPLE: Duration = Duration::from_secs(1);
/// Bytes of a connection's buffers.
const BUFFER: usize = 64 * 1024;

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The port is taken.
    #[error(
        "cannot listen on {0}: another process already does; choose another address (--listen)"
    )]
    Busy(SocketAddr),
    /// The address is not one of this machine.
    #[error("cannot listen on {0}: this machine has no such address; choose another (--listen)")]
    NotOurs(SocketAddr),
    /// The port is privileged.
    #[error("cannot listen on {0}: permission denied; choose a port above 1023 (--listen)")]
    Forbidden(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, io::Error),
}

/// Takes the port, before anything else of the agent starts.
///
/// # Errors
/// One sentence that says why it cannot be had.
pub fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|error: io::Error| match error.kind() {
        ErrorKind::AddrInUse => ListenError::Busy(address),
        ErrorKind::AddrNotAvailable => ListenError::NotOurs(address),
        ErrorKind::PermissionDenied => ListenError::Forbidden(address),
        _ => ListenError::Other(address, error),
    })
}

/// Serves until it is dropped, and samples for the rates meanwhile.
///
/// # Errors
/// Where the listener cannot be handed to the runtime.
pub async fn serve(
    listener: TcpListener,
    overview: Arc<Overview>,
    sources: Sources,
    gate: Gate,
    patience: Patience,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let gate = Arc::new(gate);
    let sampling = sample(Arc::clone(&overview), Arc::clone(&gate));
    tokio::select! {
        never = accept(listener, overview, sources, gate, patience) => match never {},
        never = sampling => match never {},
    }
}

async fn sample(overview: Arc<Overview>, gate: Arc<Gate>) -> Infallible {
    let mut ticks = tokio::time::interval(SAMPLE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        overview.sample(clock::now());
        if !gate.look() {
            let refused = &overview.agent.scrapes.web_refused;
            refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    overview: Arc<Overview>,
    sources: Sources,
    gate: Arc<Gate>,
    patience: Patience,
) -> Infallible {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let router = router(Arc::clone(&overview), sources, Arc::clone(&gate));
    loop {
        // The semaphore is never closed, so a permit always comes.
        let permit = Arc::clone(&connections).acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, or the client left already: neither is worth dying for.
                let errors = &overview.agent.scrapes.accept_errors;
                errors.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "no connection was accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let tls = gate.access().tls.clone();
        tokio::spawn(async move {
            let answer = async {
                match tls {
                    None => answer(stream, service, patience).await,
                    Some(config) => {
                        let hello = TlsAcceptor::from(config).accept(stream);
                        let stream = tokio::time::timeout(patience.head, hello).await??;
                        answer(stream, service, patience).await
                    }
                }
            };
            match tokio::time::timeout(patience.answer, answer).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a connection broke off"),
                Err(_) => tracing::debug!("a connection was cut off for its slowness"),
            }
            drop(permit);
        });
    }
}

/// Answers the one request of a connection.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    service: TowerToHyperService<Router>,
    patience: Patience,
) -> io::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

#[derive(Clone)]
struct Shared {
    overview: Arc<Overview>,
    sources: Sources,
    gate: Arc<Gate>,
    scrapes: Arc<Semaphore>,
    views: Arc<Semaphore>,
}

/// The routes.
fn router(overview: Arc<Overview>, sources: Sources, gate: Arc<Gate>) -> Router {
    let shared = Shared {
        overview,
        sources,
        gate,
        scrapes: Arc::new(Semaphore::new(SCRAPES)),
        views: Arc::new(Semaphore::new(VIEWS)),
    };
    Router::new()
        .route("/", get(person))
        .route("/api/v1/status", get(status))
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(shared.clone(), gate::guard))
        .with_state(shared)
}

async fn nothing() -> Response {
    let text = "there is nothing here; there are / for a person, /metrics for Prometheus, \
                /api/v1/status, /healthz and /readyz\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

async fn metrics(State(shared): State<Shared>, method: Method) -> Response {
    let content_type = [(header::CONTENT_TYPE, CONTENT_TYPE)];
    if method == Method::HEAD {
        return content_type.into_response();
    }
    let agent = Arc::clone(&shared.overview.agent);
    let Ok(permit) = shared.scrapes.try_acquire_owned() else {
        agent.scrapes.refused.fetch_add(1, Ordering::Relaxed);
        let why = format!("{SCRAPES} scrapes are running already\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let registry = Arc::clone(&shared.overview.registry);
    let reading = shared.sources.begin();
    let scrape = Scrape::new(registry, Arc::clone(&agent));
    let body = Body::new(ScrapeBody::new(scrape, reading, agent, permit));
    (content_type, body).into_response()
}

/// What a view may be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Rows of each table.
    #[serde(default = "rows")]
    rows: usize,
}

fn rows() -> usize {
    ROWS
}

type Question = Result<Query<Asked>, QueryRejection>;

async fn status(State(shared): State<Shared>, question: Question) -> Response {
    view(&shared, &question, |overview, rows| {
        let headers = [(header::CONTENT_TYPE, "application/json")];
        // A status has no map whose keys are not text, so it can always be written.
        let json = serde_json::to_vec(&overview.status(rows)).unwrap_or_default();
        (headers, json)
    })
}

async fn person(State(shared): State<Shared>, question: Question) -> Response {
    view(&shared, &question, |overview, rows| {
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, page::policy()),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        (headers, page::page(&overview.status(rows)).into_bytes())
    })
}

/// Answers with what `render` makes, whose memory counts against [`VIEWS`] until it is sent.
fn view<H: IntoResponseParts>(
    shared: &Shared,
    question: &Question,
    render: impl FnOnce(&Overview, usize) -> (H, Vec<u8>),
) -> Response {
    let rows = match question {
        Ok(Query(Asked { rows })) if (1..=MOST_ROWS).contains(rows) => *rows,
        Ok(_) | Err(_) => {
            let why = format!("all that can be asked for is ?rows=, from 1 to {MOST_ROWS}\n");
            return (StatusCode::BAD_REQUEST, why).into_response();
        }
    };
    let overview = &shared.overview;
    let Ok(permit) = Arc::clone(&shared.views).try_acquire_owned() else {
        let refused = &overview.agent.scrapes.views_refused;
        refused.fetch_add(1, Ordering::Relaxed);
        let why = format!("{VIEWS} of these are on their way already\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let (headers, text) = render(overview, rows);
    let common = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, common, Body::new(Held::new(text, permit))).into_response()
}

async fn ready(State(shared): State<Shared>) -> Response {
    match shared.overview.agent.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n").into_response(),
    }
}

#[cfg(test)]
mod tests;
