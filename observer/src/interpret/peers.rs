//! Who the ends of a connection are, and what they are called.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::connections::Context;
use super::openings::Opening;
use super::{Interpreter, fact};
use crate::correlate::{Connection, Exchange};
use crate::decode::Side;
use crate::export::{Fact, Metric, Symbol, Symbols};
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;

/// Who the ends of a connection are.
pub trait Services: Send {
    /// The workload at whose end the connection is observed.
    fn service(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol;
    /// Who is at the other end; never its address.
    fn peer(&mut self, connection: &Connection, symbols: &mut Symbols) -> Peer;
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody who has a name.
    Named(Symbol),
    /// A host of which nothing but its address is known. Where a workload of ours calls it by a
    /// name, that is its.
    External,
}

impl Interpreter {
    pub(super) fn identify(&mut self, connection: &Connection, out: &mut dyn FnMut(Fact)) {
        let service = self.services.service(connection, &mut self.symbols);
        let peer = self.services.peer(connection, &mut self.symbols);
        let external = self.hosts.external;
        self.connections.change(connection.key, out, |context| {
            // The gauges follow the connection to its better name.
            context.service = service;
            context.meet(peer, external);
            context.vantage = connection.vantage;
            context.cgroup = connection.identity.cgroup;
            context.other_end = connection.other_end;
            context.elsewhere = connection.elsewhere;
            context.joined_sql = connection.joined_sql;
            if is_told_elsewhere(connection) {
                // From now on the client's end is where the connection counts.
                context.database = None;
            }
        });
    }

    /// The client calls its server so; what is known of the connection then.
    pub(super) fn call(
        &mut self,
        key: ConnectionKey,
        host: &str,
        out: &mut dyn FnMut(Fact),
    ) -> Option<Context> {
        let context = *self.connections.get(key, out)?;
        if !context.is_nameless() {
            return Some(context);
        }
        let Some(host) = self.hosts.learn(host, &mut self.symbols) else {
            return Some(context);
        };
        if let Some(opening) = self.openings.called(key) {
            opened(&opening, host, out);
        }
        self.connections.change(key, out, |context| {
            context.host = Some(host);
            context.peer = host;
        })
    }

    /// A connect succeeded a moment ago: its other end may have been met since.
    fn opened(&mut self, opening: Opening, out: &mut dyn FnMut(Fact)) {
        let connection = &opening.connection;
        let external = self.hosts.external;
        let found = self.services.peer(connection, &mut self.symbols);
        self.connections.meet(connection.key, found, external);
        match found {
            Peer::Named(peer) => opened(&opening, peer, out),
            Peer::External => {
                if let Some(given_back) = self.openings.listen(opening) {
                    opened(&given_back, external, out);
                }
            }
        }
    }

    /// A connect succeeded: its other end may be told right after.
    pub(super) fn open(
        &mut self,
        exchange: &Exchange,
        context: Context,
        out: &mut dyn FnMut(Fact),
    ) {
        let Some(connection) = self
            .identified
            .as_ref()
            .filter(|connection| connection.key == exchange.connection)
        else {
            let labels = [context.service, context.peer];
            return out(fact(Metric::TcpConnectionsOpened, &labels, 1.0));
        };
        let opening = Opening::new(exchange.ended, Arc::clone(connection), context);
        if let Some(first) = self.openings.wait(opening) {
            self.opened(first, out);
        }
    }

    /// Connections that were opened at `until` or before have the peer that was found by then.
    pub(super) fn settle_openings(&mut self, until: Timestamp, out: &mut dyn FnMut(Fact)) {
        while let Some(opening) = self.openings.due(until) {
            self.opened(opening, out);
        }
        while let Some(opening) = self.openings.overdue(until) {
            opened(&opening, self.hosts.external, out);
        }
    }
}

/// Whether the client's end is where a connection counts, and this is the other.
pub(super) fn is_told_elsewhere(connection: &Connection) -> bool {
    connection.other_end.is_some() && connection.vantage == Side::Server
}

fn opened(opening: &Opening, peer: Symbol, out: &mut dyn FnMut(Fact)) {
    let labels = [opening.service, peer];
    out(fact(Metric::TcpConnectionsOpened, &labels, 1.0));
}
