//! The socket of an engine, asked read-only: GET and nothing else.
//!
//! ```text
//!   GET /_ping                          which version of the API it speaks
//!   GET /v1.41/containers/json          every container, or the one with an id
//!   GET /v1.41/events                   what becomes of them, a line each, without an end
//! ```
#![forbid(unsafe_code)]

use std::fs;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::answer::{self, Change};
use crate::workloads::directory::Container;

/// Bytes of an answer: thousands of containers.
const LONGEST: usize = 8 << 20;
/// Bytes of an event.
const LONGEST_LINE: usize = 256 << 10;
/// How long a whole answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// `{"type":["container"]}`.
const OF_CONTAINERS: &str = "%7B%22type%22%3A%5B%22container%22%5D%7D";

/// Why an engine tells nothing: the end of a sentence.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Nobody is there, or we may not ask.
    #[error("{0}")]
    Connection(io::Error),
    /// It breaks off, or does not speak HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// It does not like the question.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// It does not answer.
    #[error("it does not answer within {} s", PATIENCE.as_secs())]
    Slow,
    /// It answers without an end.
    #[error("its answer is too long")]
    Long,
    /// It is no engine, or one that has not been made yet.
    #[error("its answer is not what Docker or Podman say")]
    Strange,
    /// It has stopped to tell.
    #[error("it is gone")]
    Gone,
}

impl Refusal {
    /// Whether there is no engine, which is nothing to tell.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Connection(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// An engine that answers.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    socket: PathBuf,
    version: String,
}

impl Engine {
    /// The one behind this socket.
    pub(super) async fn find(socket: &Path) -> Result<Self, Refusal> {
        // Where we may not connect to anything, one that is not there is not missed either.
        fs::metadata(socket).map_err(Refusal::Connection)?;
        let response = timeout(PATIENCE, get(socket, "/_ping"));
        let response = response.await.map_err(|_| Refusal::Slow)??;
        let version = response.headers().get("api-version");
        let version = version.and_then(|value| value.to_str().ok());
        let is_digit = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        let is_version = |text: &&str| text.bytes().all(is_digit);
        let version = version.filter(is_version).ok_or(Refusal::Strange)?;
        Ok(Self {
            socket: socket.to_owned(),
            version: version.to_owned(),
        })
    }

    /// Every container, also those that do not run.
    pub(super) async fn list(&self) -> Result<Vec<Container>, Refusal> {
        self.listed("").await
    }

    /// The one with this id.
    pub(super) async fn one(&self, id: &str) -> Result<Option<Container>, Refusal> {
        // {"id":["…"]}
        let filter = format!("&filters=%7B%22id%22%3A%5B%22{id}%22%5D%7D");
        let containers = self.listed(&filter).await?;
        Ok(containers.into_iter().find(|one| one.id == id))
    }

    async fn listed(&self, filter: &str) -> Result<Vec<Container>, Refusal> {
        let path = format!("/v{}/containers/json?all=1{filter}", self.version);
        let answer = timeout(PATIENCE, whole(&self.socket, &path));
        let answer = answer.await.map_err(|_| Refusal::Slow)??;
        answer::list(&answer).map_err(|_| Refusal::Strange)
    }

    /// What becomes of containers since that second of Unix time. An engine answers when there is
    /// something to tell, so nobody is to wait for it.
    pub(super) async fn events(&self, since: f64) -> Result<Events, Refusal> {
        let version = &self.version;
        let path = format!("/v{version}/events?since={since:.0}&filters={OF_CONTAINERS}");
        Ok(Events {
            body: get(&self.socket, &path).await?.into_body(),
            waiting: Vec::new(),
        })
    }
}

/// What an engine tells without being asked again.
pub(super) struct Events {
    body: Incoming,
    /// What came after the last line's end.
    waiting: Vec<u8>,
}

impl Events {
    /// What becomes of the next container.
    pub(super) async fn next(&mut self) -> Result<Change, Refusal> {
        loop {
            while let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.waiting.drain(..=end).collect();
                let line = line.trim_ascii();
                if line.is_empty() {
                    continue;
                }
                if let Some(change) = answer::event(line).map_err(|_| Refusal::Strange)? {
                    return Ok(change);
                }
            }
            if self.waiting.len() > LONGEST_LINE {
                return Err(Refusal::Long);
            }
            let more = more(&mut self.body).await?.ok_or(Refusal::Gone)?;
            self.waiting.extend_from_slice(&more);
        }
    }
}

async fn get(socket: &Path, path: &str) -> Result<Response<Incoming>, Refusal> {
    let stream = UnixStream::connect(socket).await;
    let stream = stream.map_err(Refusal::Connection)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the answer, or with whoever reads that.
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, "engine");
    let request = request.body(String::new()).map_err(|_| Refusal::Strange)?;
    let response = sender.send_request(request).await?;
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(Refusal::Status(status)),
    }
}

async fn whole(socket: &Path, path: &str) -> Result<Vec<u8>, Refusal> {
    let mut body = get(socket, path).await?.into_body();
    let mut answer = Vec::new();
    while let Some(more) = more(&mut body).await? {
        if answer.len() + more.len() > LONGEST {
            return Err(Refusal::Long);
        }
        answer.extend_from_slice(&more);
    }
    Ok(answer)
}

/// The next bytes of a body; trailers are none.
async fn more(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
    let frame = frame.transpose()?;
    Ok(frame.and_then(|frame| frame.into_data().ok()))
}
