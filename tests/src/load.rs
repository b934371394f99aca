//! Seeded load on the shop, and what was sent.

mod requests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use fastrand::Rng;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use self::requests::{Known, Made, learn, make};

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where the shop serves.
    pub address: SocketAddr,
    /// The same seed makes the same requests on each connection.
    pub seed: u64,
    /// Requests per second over all connections; a slow shop is sent fewer.
    pub rate: u32,
    /// Keep-alive connections, each with one request at a time.
    pub connections: u32,
    /// How long.
    pub duration: Duration,
}

/// What was sent and answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Requests by method, endpoint and status.
    pub answered: BTreeMap<(&'static str, &'static str, u16), u64>,
    /// Those of them whose route and path name a shop that there is, by its number.
    pub shops: BTreeMap<u64, u64>,
    /// GraphQL answers of 200 with errors inside, by operation.
    pub errors: BTreeMap<&'static str, u64>,
    /// Requests that were sent and have no complete answer.
    pub unanswered: u64,
}

/// How far a run is; to be read while it goes on.
#[derive(Debug, Default)]
pub struct Progress(AtomicU64);

impl Progress {
    /// Requests answered so far.
    pub fn requests(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Sent {
    /// All that were answered.
    pub fn total(&self) -> u64 {
        self.answered.values().sum()
    }

    /// Takes in what another run sent.
    pub fn add(&mut self, other: Self) {
        for (key, count) in other.answered {
            *self.answered.entry(key).or_default() += count;
        }
        for (shop, count) in other.shops {
            *self.shops.entry(shop).or_default() += count;
        }
        for (operation, count) in other.errors {
            *self.errors.entry(operation).or_default() += count;
        }
        self.unanswered += other.unanswered;
    }
}

/// Sends until the time is over; requests under way are waited for.
///
/// # Errors
/// When the shop does not accept connections.
pub async fn run(plan: Plan, progress: Arc<Progress>) -> Result<Sent> {
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for number in 0..plan.connections {
        workers.spawn(work(plan, number, start, Arc::clone(&progress)));
    }
    let mut sent = Sent::default();
    while let Some(part) = workers.join_next().await {
        sent.add(part??);
    }
    Ok(sent)
}

async fn work(plan: Plan, number: u32, start: Instant, progress: Arc<Progress>) -> Result<Sent> {
    let mut random = Rng::with_seed(
        plan.seed
            .wrapping_mul(1_000_003)
            .wrapping_add(number.into()),
    );
    let mut known = Known::of(number);
    let mut sent = Sent::default();
    let mut connection = connect(plan.address).await?;
    let end = start + plan.duration;
    let pause = Duration::from_secs(1) * plan.connections / plan.rate.max(1);
    let mut due = start + pause * number / plan.connections.max(1);
    while due < end {
        sleep_until(due).await;
        // Who is late sends at once, and does not hurry to catch up.
        due = (due + pause).max(Instant::now());
        let made = make(&mut random, &mut known);
        let Ok((status, body)) = exchange(&mut connection, plan.address, &made).await else {
            sent.unanswered += 1;
            connection = connect(plan.address).await?;
            continue;
        };
        progress.0.fetch_add(1, Ordering::Relaxed);
        let kind = made.kind;
        let key = (kind.method, kind.endpoint, status);
        *sent.answered.entry(key).or_default() += 1;
        if let Some(shop) = made.shop() {
            *sent.shops.entry(shop).or_default() += 1;
        }
        if learn(&mut known, &made, status, &body) {
            *sent.errors.entry(kind.operation()).or_default() += 1;
        }
    }
    Ok(sent)
}

type Connection = SendRequest<Full<Bytes>>;

async fn connect(address: SocketAddr) -> Result<Connection> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("nobody listens at {address}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the sender.
    tokio::spawn(connection);
    Ok(sender)
}

async fn exchange(
    connection: &mut Connection,
    address: SocketAddr,
    made: &Made,
) -> Result<(u16, Bytes)> {
    let mut request = Request::builder()
        .method(made.kind.method)
        .uri(&made.path)
        .header("host", address.to_string());
    if let Some((name, value)) = &made.header {
        request = request.header(*name, value);
    }
    if !made.body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let request = request.body(Full::new(Bytes::from(made.body.clone())))?;
    let answer = async {
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status().as_u16();
        anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
    };
    timeout_at(Instant::now() + Duration::from_secs(30), answer).await?
}
