//! An exchange becomes facts: route, shop, query.
//!
//! One [`Interpreter`] receives the exchanges of every worker and owns the state that crosses
//! connections: which shops exist, which subdomain is which shop, how statements are called. What
//! is a route or names a shop is data ([`rules`]). Every table is bounded, and so is the number of
//! values that traffic can add to a label.
#![forbid(unsafe_code)]

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use smallvec::SmallVec;

use crate::correlate::{Body, Connection, Exchange};
use crate::decode::Side;
use crate::export::{Fact, Metric, Symbol, Symbols};
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;
use observer_ebpf::Reason;

pub mod business;
mod connections;
mod database;
pub mod fuzz;
mod graph;
pub mod graphql;
mod hosts;
mod http;
pub mod json;
pub mod names;
mod openings;
mod peers;
pub mod plan;
mod redis;
mod relays;
pub mod routes;
pub mod rules;
pub mod shops;
pub mod sql;

pub use peers::{Peer, Services};
pub use plan::{Needs, Plan};
pub use rules::{Rules, RulesError};

use connections::{Connections, Context};
use names::Names;
use peers::is_told_elsewhere;

/// Bounds of what is remembered, and what is believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which end owns a database's facts.
    pub authority: Authority,
    /// Label values in all.
    pub label_values: usize,
    /// Connections; the one not heard of for the longest leaves the gauges and is forgotten.
    pub connections: usize,
    /// Entities of the business, of each kind; the one not seen for the longest is forgotten.
    pub entities: u32,
    /// Shops; the one not seen for the longest is forgotten until the database names it again.
    pub shops: u32,
    /// SQL texts whose name is remembered; a forgotten one is read again.
    pub statements: u32,
    /// Values of `query`; further ones are `_other`.
    pub queries: usize,
    /// Values of `endpoint` for paths that no rule knows; further ones are `_other`.
    pub unmatched_endpoints: usize,
    /// Values of `operation` of GraphQL; further ones are `_other`.
    pub graphql_operations: usize,
    /// Values of `database`; further ones are `_other`.
    pub databases: usize,
    /// Names of external hosts in the label `peer`; further ones are `_other`.
    pub external_hosts: usize,
    /// HTTP exchanges that wait for a proof of their shop or for what they did to the database; over
    /// it the first is `unknown`.
    pub pending: usize,
    /// Where no SQL is observed at all, believe the numbers that paths name shops by.
    pub trust_path_ids: bool,
    /// How many of them; further ones are `_other`.
    pub trusted_path_ids: usize,
}

/// Which end of a connection owns a database's facts: with several agents each end may be another's,
/// and where a pooler stands between, statements pass twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Authority {
    /// The client's: of a connection that is observed at the server's end alone there are none, nor
    /// of a pooler's way to the database while its clients are seen.
    #[default]
    Client,
    /// The database's: of a connection that is observed at the client's end alone there are none,
    /// nor of a way to a pooler while the pooler's way to the database is seen.
    Server,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authority: Authority::Client,
            label_values: 65_536,
            connections: 65_536,
            entities: 65_536,
            shops: 65_536,
            statements: 4096,
            queries: 1000,
            unmatched_endpoints: 100,
            graphql_operations: 100,
            databases: 50,
            external_hosts: 100,
            pending: 4096,
            trust_path_ids: false,
            trusted_path_ids: 1000,
        }
    }
}

/// SQLSTATEs that are told apart; PostgreSQL has about 260.
const SQL_STATE_LIMIT: usize = 300;

/// Turns exchanges into facts.
pub struct Interpreter {
    plan: Arc<Plan>,
    symbols: Symbols,
    services: Box<dyn Services>,
    authority: Authority,
    connections: Connections,
    /// The one that was identified last.
    identified: Option<Arc<Connection>>,
    openings: openings::Openings,
    hosts: hosts::Hosts,
    graph: graph::Graph,
    http: http::Http,
    namer: sql::Namer,
    shops: shops::Shops,
    business: business::Business,
    databases: Names,
    sql_states: Names,
    redis: redis::Words,
}

impl Interpreter {
    /// With rules made ready, bounds, and who names services.
    #[must_use]
    pub fn new(plan: Arc<Plan>, settings: &Settings, services: Box<dyn Services>) -> Self {
        let mut symbols = Symbols::new(settings.label_values);
        let trust = settings.trust_path_ids.then_some(settings.trusted_path_ids);
        Self {
            http: http::Http::new(&plan, settings, &mut symbols),
            namer: sql::Namer::new(Arc::clone(&plan), settings.statements, settings.queries),
            shops: shops::Shops::new(settings.shops, trust),
            connections: Connections::new(settings.connections),
            identified: None,
            openings: openings::Openings::new(settings.pending),
            hosts: hosts::Hosts::new(settings.external_hosts, &mut symbols),
            graph: graph::Graph::new(&mut symbols),
            business: business::Business::new(Arc::clone(&plan.business), settings.entities),
            databases: Names::new(settings.databases),
            sql_states: Names::new(SQL_STATE_LIMIT),
            redis: redis::Words::new(&mut symbols),
            services,
            authority: settings.authority,
            plan,
            symbols,
        }
    }

    /// Other rules are in force from the next exchange on. What was counted stays counted; what the
    /// rules before proved of shops is forgotten where these read SQL in another way, and what is
    /// remembered of the business where these speak of it in another way.
    pub fn replace(&mut self, plan: Arc<Plan>, out: &mut dyn FnMut(Fact)) {
        if !plan.reads_like(&self.plan) {
            self.shops.forget();
        }
        let mut context = business::Context::aside(&mut self.symbols, out);
        if plan.business != self.plan.business {
            self.http.doubt(&mut self.business, &mut context);
        }
        self.business
            .replace(Arc::clone(&plan.business), &mut context);
        self.http.replace(&plan, &mut self.symbols);
        self.namer.replace(Arc::clone(&plan));
        self.plan = plan;
    }

    /// From now on it is noted why each row that a rule of the business speaks of counts, or does
    /// not.
    pub fn explain(&mut self) {
        self.business.explain();
    }

    /// What was noted since the last time.
    pub fn explained(&mut self) -> Vec<business::journal::Note> {
        self.business.explained()
    }

    /// Nothing more comes, so what is pending of the business stays unknown. To be called before
    /// the last look at what was noted.
    pub fn end(&mut self, time: Timestamp, out: &mut dyn FnMut(Fact)) {
        let mut context = business::Context::aside(&mut self.symbols, out);
        context.time = time;
        self.business
            .abandon(&business::why::Why::Disconnected, &mut context);
    }

    /// The queries that no rule of the business speaks of, and how often they ran since somebody
    /// asked to have it explained; the most frequent first.
    #[must_use]
    pub fn passed_over(&self) -> Vec<(String, u64)> {
        let queries = self.business.passed_over();
        let mut queries: Vec<_> = queries
            .map(|(query, times)| (self.symbols.value(query).to_owned(), times))
            .collect();
        queries.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        queries
    }

    /// The label values that the facts so far name.
    #[must_use]
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Every fact so far is in its series.
    pub fn recorded(&mut self) {
        self.symbols.recorded();
    }

    /// Takes an exchange and yields its facts.
    ///
    /// The time an HTTP request took is held back while its shop is named but not proven; see
    /// [`Interpreter::settle`].
    pub fn exchange(&mut self, exchange: &Exchange, out: &mut dyn FnMut(Fact)) {
        let key = exchange.connection;
        match &exchange.body {
            Body::Connection(connection) => {
                if is_told_elsewhere(connection) {
                    self.forsaken(exchange, out);
                }
                self.identified = Some(Arc::clone(connection));
                return self.identify(connection, out);
            }
            Body::ServerName(name) => {
                self.call(key, name, out);
                return;
            }
            Body::Closed(reason) => {
                self.forsaken(exchange, out);
                return self.closed(key, *reason, out);
            }
            Body::Evicted => {
                self.forsaken(exchange, out);
                self.connections.remove(key, out);
                return;
            }
            _ => {}
        }
        let Some(entry) = self.connections.get(key, out) else {
            return;
        };
        let context = match &exchange.body {
            Body::HttpBegan if entry.vantage == Side::Server => {
                entry.in_flight = entry.in_flight.saturating_add(1);
                out(fact(Metric::HttpRequestsInFlight, &[entry.service], 1.0));
                Some(*entry)
            }
            Body::Http(_) | Body::HttpAborted(_) if entry.in_flight > 0 => {
                entry.in_flight -= 1;
                out(fact(Metric::HttpRequestsInFlight, &[entry.service], -1.0));
                Some(*entry)
            }
            Body::SqlSession(session) => {
                let name = session.database.as_str();
                let database = if !session.accepted {
                    self.databases.get(name).unwrap_or(Symbol::OTHER)
                } else if is_database(name) {
                    self.databases.learn(name, &mut self.symbols)
                } else {
                    Symbol::OTHER
                };
                let change = |context: &mut Context| context.database = Some(database);
                self.connections.change(key, out, change)
            }
            // A session older than the agent: its database stays unknown.
            Body::Sql(_) | Body::SqlError(_) | Body::SqlTransaction(_)
                if entry.database.is_none() =>
            {
                let change = |context: &mut Context| context.database = Some(Symbol::UNKNOWN);
                self.connections.change(key, out, change)
            }
            Body::Http(http) if entry.is_nameless() => self.call(key, &http.request.host, out),
            Body::HttpAborted(aborted) if entry.is_nameless() => {
                self.call(key, &aborted.request.host, out)
            }
            _ => Some(*entry),
        };
        if let Some(context) = context {
            self.facts(exchange, context, out);
        }
    }

    /// Every exchange that ended at `until` or before was taken: an HTTP request that ended by
    /// then and whose shop no one proved by then is published with the shop `unknown`, what the
    /// rules of the business read of requests becomes facts, and connections that were opened have
    /// the peer that was found by then.
    ///
    /// To be called after each batch, with the time up to which no worker has anything left; at
    /// the end with `Timestamp(u64::MAX)`.
    pub fn settle(&mut self, until: Timestamp, out: &mut dyn FnMut(Fact)) {
        self.settle_openings(until, out);
        let mut desk = http::Desk {
            plan: &self.plan,
            shops: &mut self.shops,
            business: &mut self.business,
            symbols: &mut self.symbols,
            out,
        };
        self.http.settle(until, &mut desk);
    }

    fn facts(&mut self, exchange: &Exchange, context: Context, out: &mut dyn FnMut(Fact)) {
        let database = context.database.unwrap_or(Symbol::UNKNOWN);
        let ends = [context.service, context.peer];
        self.graph.take(&exchange.body, &context, out);
        match &exchange.body {
            Body::Sql(_) | Body::SqlError(_) | Body::SqlTransaction(_) | Body::SqlHidden
                if context.elsewhere || self.connections.is_hop(exchange.connection) =>
            {
                if let Body::Sql(_) = &exchange.body
                    && !context.elsewhere
                {
                    let labels = [context.service, database];
                    out(fact(Metric::DatabaseHopExecutions, &labels, 1.0));
                }
                if self.owns_facts(exchange.connection) {
                    self.passed_on(exchange, database, out);
                } else {
                    // What was taken before it was known for a hop is told by others.
                    self.forsaken(exchange, out);
                }
            }
            Body::Opened => self.open(exchange, context, out),
            Body::Accepted => out(fact(Metric::TcpConnectionsAccepted, &ends, 1.0)),
            Body::Failed(reason) => {
                let reason = self.symbols.intern(reason.label());
                let labels = [context.service, context.peer, reason];
                out(fact(Metric::TcpConnectionsRefused, &labels, 1.0));
                self.connections.remove(exchange.connection, out);
            }
            Body::Retransmitted(segments) => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "beyond 2^53 segments it may round"
                )]
                out(fact(
                    Metric::TcpSegmentsRetransmitted,
                    &ends,
                    *segments as f64,
                ));
            }
            Body::RoundTrip(microseconds) => {
                out(fact(
                    Metric::TcpRoundTrip,
                    &ends,
                    f64::from(*microseconds) / 1e6,
                ));
            }
            Body::Http(http) => {
                let mut desk = http::Desk {
                    plan: &self.plan,
                    shops: &mut self.shops,
                    business: &mut self.business,
                    symbols: &mut self.symbols,
                    out,
                };
                self.http.exchange(http, context, &mut desk);
            }
            Body::HttpAborted(aborted) => {
                http::Http::aborted(aborted, context, &mut self.symbols, out);
            }
            Body::Sql(execution) => {
                self.shops.distrust();
                self.execution(execution, exchange.connection, context, database, out);
            }
            Body::SqlError(state) => self.sql_error(*state, context, database, out),
            Body::SqlTransaction(transaction) => {
                self.transaction(*transaction, context, database, out);
                if self.owns_facts(exchange.connection) {
                    self.settled(*transaction, exchange, database, out);
                }
            }
            Body::SqlHidden => self.business.doubt(exchange.connection),
            Body::Redis(_) if context.elsewhere => {}
            Body::Redis(exchange) => self.redis(exchange, context, out),
            Body::HttpBegan
            | Body::SqlSession(_)
            | Body::Connection(_)
            | Body::ServerName(_)
            | Body::Closed(_)
            | Body::Evicted => {}
        }
    }

    /// Nothing more comes of a connection: what is pending there has no end.
    fn forsaken(&mut self, exchange: &Exchange, out: &mut dyn FnMut(Fact)) {
        self.business.gone(&mut business::Context {
            connection: exchange.connection,
            database: Symbol::UNKNOWN,
            time: exchange.ended,
            symbols: &mut self.symbols,
            out,
        });
    }

    fn closed(&mut self, key: ConnectionKey, reason: Reason, out: &mut dyn FnMut(Fact)) {
        let Some(context) = self.connections.remove(key, out) else {
            return;
        };
        let by = match reason {
            Reason::ResetByPeer => "peer",
            Reason::ResetByUs => "local",
            _ => return,
        };
        let by = self.symbols.intern(by);
        out(fact(
            Metric::TcpConnectionsReset,
            &[context.service, context.peer, by],
            1.0,
        ));
    }
}

/// Whether a name may be a label. A name that the server did not accept is never learnt: whoever
/// connects makes one up, before anyone asks for a password.
fn is_database(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

fn fact(metric: Metric, labels: &[Symbol], value: f64) -> Fact {
    Fact {
        metric,
        labels: SmallVec::from_slice(labels),
        value,
        ends: false,
    }
}

#[cfg(test)]
mod tests;
