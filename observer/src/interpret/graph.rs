//! The service graph: who asks whom, of every exchange that answers a request, once.
//!
//! ```text
//!   client's end observed, here or on another node    counted there
//!   the server's end alone                            counted here
//! ```
#![forbid(unsafe_code)]

use super::connections::Context;
use super::fact;
use crate::correlate::http::AbortReason;
use crate::correlate::{Body, postgres, redis};
use crate::export::{Fact, Metric, Symbol, Symbols};

/// Statuses from which on the server has failed (RFC 9110, section 15.6).
const SERVER_ERRORS: u16 = 500;

/// The words of the graph.
pub(super) struct Graph {
    /// By [`Protocol`], as OpenTelemetry names them.
    protocols: [Symbol; 3],
    success: Symbol,
    error: Symbol,
}

#[derive(Clone, Copy)]
enum Protocol {
    Http,
    Postgresql,
    Redis,
}

#[derive(Clone, Copy)]
enum Outcome {
    Success,
    Error,
    /// What answered it was hidden.
    Unknown,
}

/// A request, as far as the graph tells it.
struct Request {
    protocol: Protocol,
    outcome: Outcome,
    /// How long the server took, where that is known.
    seconds: Option<f64>,
}

impl Graph {
    pub(super) fn new(symbols: &mut Symbols) -> Self {
        Self {
            protocols: ["http", "postgresql", "redis"].map(|name| symbols.intern(name)),
            success: symbols.intern("success"),
            error: symbols.intern("error"),
        }
    }

    /// Takes what passed on a connection.
    pub(super) fn take(&self, body: &Body, context: &Context, out: &mut dyn FnMut(Fact)) {
        let (Some([client, server]), Some(request)) = (context.edge(), Request::of(body)) else {
            return;
        };
        let protocol = self.protocols.get(request.protocol as usize);
        let protocol = protocol.copied().unwrap_or(Symbol::OTHER);
        let outcome = match request.outcome {
            Outcome::Success => self.success,
            Outcome::Error => self.error,
            Outcome::Unknown => Symbol::UNKNOWN,
        };
        let labels = [client, server, protocol, outcome];
        out(fact(Metric::ServiceRequests, &labels, 1.0));
        if let Some(seconds) = request.seconds {
            let labels = [client, server, protocol];
            out(fact(Metric::ServiceRequestDuration, &labels, seconds));
        }
    }
}

impl Request {
    fn of(body: &Body) -> Option<Self> {
        let (protocol, outcome, seconds) = match body {
            Body::Http(http) => {
                let outcome = if http.status < SERVER_ERRORS {
                    Outcome::Success
                } else {
                    Outcome::Error
                };
                let seconds = http.ended.seconds_since(http.began);
                (Protocol::Http, outcome, Some(seconds))
            }
            Body::HttpAborted(aborted) => {
                let outcome = match aborted.reason {
                    AbortReason::Reset | AbortReason::Closed => Outcome::Error,
                    AbortReason::Evicted | AbortReason::Lost => Outcome::Unknown,
                };
                (Protocol::Http, outcome, None)
            }
            Body::Sql(execution) => {
                let outcome = match execution.outcome {
                    postgres::Outcome::Completed => Outcome::Success,
                    postgres::Outcome::Failed(_) => Outcome::Error,
                    postgres::Outcome::Unknown => Outcome::Unknown,
                };
                let seconds = execution.timed.then_some(execution.seconds);
                (Protocol::Postgresql, outcome, seconds)
            }
            Body::Redis(exchange) => {
                let outcome = match exchange.outcome {
                    redis::Outcome::Ok | redis::Outcome::Queued => Outcome::Success,
                    redis::Outcome::Error(_) => Outcome::Error,
                    redis::Outcome::Unknown => Outcome::Unknown,
                };
                let is_servers = exchange.time == redis::Time::Server;
                let seconds = is_servers.then(|| exchange.ended.seconds_since(exchange.began));
                (Protocol::Redis, outcome, seconds)
            }
            _ => return None,
        };
        Some(Self {
            protocol,
            outcome,
            seconds,
        })
    }
}
