//! A request meets its response: an exchange with times, sizes and outcome.
#![forbid(unsafe_code)]

use std::sync::Arc;

use observer_ebpf::{Identity, Opener, Reason};

use crate::decode::Side;
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;

pub mod fuzz;
pub mod http;
pub mod postgres;
pub mod redis;
pub mod vantage;

/// What [`crate::interpret`] receives: one connection's event or finished exchange.
#[derive(Debug)]
pub struct Exchange {
    /// The connection it belongs to.
    pub connection: ConnectionKey,
    /// When it ended, by kernel time. Exchanges arrive almost in this order.
    pub ended: Timestamp,
    /// What happened.
    pub body: Body,
}

/// What happened on a connection.
#[derive(Debug)]
pub enum Body {
    /// Who the connection is; before everything else of it, and again when more is known.
    Connection(Arc<Connection>),
    /// The host that the client names in its TLS `ClientHello`, as it says it.
    ServerName(Box<str>),
    /// A connect succeeded.
    Opened,
    /// A listener's child was established.
    Accepted,
    /// A connect did not succeed.
    Failed(Reason),
    /// Segments sent again since the last report.
    Retransmitted(u64),
    /// Smoothed round-trip time in microseconds, at most one report a second and connection.
    RoundTrip(u32),
    /// A request began (its head is whole); balanced by one `Http` or `HttpAborted`.
    HttpBegan,
    /// An HTTP request and its whole response.
    Http(Box<http::Exchange>),
    /// An HTTP request that will have no whole response.
    HttpAborted(Box<http::Aborted>),
    /// A PostgreSQL session: its database is known.
    SqlSession(Box<postgres::Session>),
    /// A PostgreSQL execution.
    Sql(Box<postgres::Execution>),
    /// A PostgreSQL error that belongs to no execution (Parse, Bind, connection).
    SqlError(postgres::SqlState),
    /// A PostgreSQL transaction ended.
    SqlTransaction(postgres::Transaction),
    /// Statements of the open PostgreSQL transaction, if one is open, were hidden: any part of it
    /// may have been undone.
    SqlHidden,
    /// A Redis command and its reply.
    Redis(redis::Exchange),
    /// The connection ended; nothing follows for this key.
    Closed(Reason),
    /// The connection was forgotten without an end.
    Evicted,
}

/// A connection as far as it is known.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its handle.
    pub key: ConnectionKey,
    /// Addresses, cgroup, process and first sequence numbers.
    pub identity: Identity,
    /// Which end the observer sees: of the client or of the server.
    pub vantage: Side,
    /// The cgroup of the other end, where that is observed on this node too.
    pub other_end: Option<u64>,
    /// This is the server's end, and the client's is observed on another node, or may be.
    pub elsewhere: bool,
    /// It was under way when it was first seen, and it speaks PostgreSQL.
    pub joined_sql: bool,
}

impl Connection {
    /// The end the socket is, where the SYN tells; else `None`.
    #[must_use]
    pub fn vantage_of(identity: &Identity) -> Option<Side> {
        match Opener::from_byte(identity.opener)? {
            Opener::Active => Some(Side::Client),
            Opener::Passive => Some(Side::Server),
            Opener::Unknown => None,
        }
    }
}
