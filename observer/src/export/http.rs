//! `/metrics`, `/healthz` and `/readyz`.
//!
//! A client costs a bounded amount whatever it does: a connection serves one request, must send its
//! head and take its whole answer in time ([`Patience`]); there are at most [`CONNECTIONS`] of them, and at most [`SCRAPES`] scrapes. Answers are rendered from what is
//! published, chunk by chunk as the client reads; the data path never waits for any of it.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

use super::agent::Agent;
use super::encode::{CONTENT_TYPE, Scrape};
use super::registry::Registry;
use body::ScrapeBody;

mod body;

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

/// Serves until it is dropped.
///
/// # Errors
/// Where the listener cannot be handed to the runtime.
pub async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    agent: Arc<Agent>,
    patience: Patience,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let router = router(registry, Arc::clone(&agent));
    loop {
        // The semaphore is never closed, so a permit always comes.
        let permit = Arc::clone(&connections).acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, or the client left already: neither is worth dying for.
                agent.scrapes.accept_errors.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "no connection was accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(patience.head)
                .keep_alive(false)
                .max_buf_size(BUFFER)
                .serve_connection(TokioIo::new(stream), service);
            match tokio::time::timeout(patience.answer, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a connection broke off"),
                Err(_) => tracing::debug!("a connection was cut off for its slowness"),
            }
            drop(permit);
        });
    }
}

#[derive(Clone, Debug)]
struct Shared {
    registry: Arc<Registry>,
    agent: Arc<Agent>,
    scrapes: Arc<Semaphore>,
}

/// The routes.
fn router(registry: Arc<Registry>, agent: Arc<Agent>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(Shared {
            registry,
            agent,
            scrapes: Arc::new(Semaphore::new(SCRAPES)),
        })
}

async fn metrics(State(shared): State<Shared>, method: Method) -> Response {
    let content_type = [(header::CONTENT_TYPE, CONTENT_TYPE)];
    if method == Method::HEAD {
        return content_type.into_response();
    }
    let Ok(permit) = shared.scrapes.try_acquire_owned() else {
        let refused = &shared.agent.scrapes.refused;
        refused.fetch_add(1, Ordering::Relaxed);
        let why = format!("{SCRAPES} scrapes are running already\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let scrape = Scrape::new(shared.registry, Arc::clone(&shared.agent));
    let body = Body::new(ScrapeBody::new(scrape, shared.agent, permit));
    (content_type, body).into_response()
}

async fn ready(State(shared): State<Shared>) -> Response {
    match shared.agent.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n").into_response(),
    }
}

#[cfg(test)]
mod tests;
