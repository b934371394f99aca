//! SQL executions become facts, and prove shops.
#![forbid(unsafe_code)]

use super::Authority;
use super::Interpreter;
use super::business::{self, Business};
use super::connections::Context;
use super::fact;
use super::plan::Reads;
use super::shops::{Shops, id_of};
use super::sql::Named;
use crate::correlate::postgres::{Execution, Outcome, SqlState, Transaction, Value};
use crate::correlate::{Body, Exchange};
use crate::decode::Side;
use crate::export::{Fact, Metric, Symbol, Symbols};
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;

/// Tags of statements that write.
const WRITES: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "MERGE"];

impl Interpreter {
    pub(super) fn execution(
        &mut self,
        execution: &Execution,
        connection: ConnectionKey,
        context: Context,
        database: Symbol,
        out: &mut dyn FnMut(Fact),
    ) {
        let service = context.service;
        let owns_facts = self.owns_facts(connection);
        let named = self.namer.name(execution, &mut self.symbols);
        let labels = [service, database, named.query, named.operation];
        if execution.timed {
            out(fact(
                Metric::DatabaseQueryDuration,
                &labels,
                execution.seconds,
            ));
            out(fact(
                Metric::DatabaseQueryWait,
                &[service, database],
                execution.waited,
            ));
        } else {
            out(fact(Metric::DatabaseExecutionsUntimed, &labels, 1.0));
        }
        if let Some(rows) = execution.rows.filter(|rows| *rows > 0) {
            #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 rows it may round")]
            out(fact(Metric::DatabaseRows, &labels, rows as f64));
        }
        if let Some(reads) = named.reads
            && let Some(shop) = shop(execution, reads, &mut self.shops, &mut self.symbols)
            && execution.timed
        {
            out(fact(
                Metric::DatabaseShopQueryDuration,
                &[shop, service],
                execution.seconds,
            ));
        }
        if owns_facts {
            let context = &mut business::Context {
                connection,
                database,
                time: execution.ended,
                symbols: &mut self.symbols,
                out,
            };
            means(&mut self.business, named, execution, context);
        }
        if let Outcome::Failed(state) = execution.outcome {
            self.sql_error(state, context, database, out);
        }
    }

    pub(super) fn sql_error(
        &mut self,
        state: SqlState,
        context: Context,
        database: Symbol,
        out: &mut dyn FnMut(Fact),
    ) {
        let state = match std::str::from_utf8(&state.0) {
            Ok(text) if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                self.sql_states.learn(text, &mut self.symbols)
            }
            _ => Symbol::OTHER,
        };
        out(fact(
            Metric::DatabaseErrors,
            &[context.service, database, state],
            1.0,
        ));
    }

    pub(super) fn transaction(
        &mut self,
        transaction: Transaction,
        context: Context,
        database: Symbol,
        out: &mut dyn FnMut(Fact),
    ) {
        let outcome = self.symbols.intern(transaction.label());
        out(fact(
            Metric::DatabaseTransactions,
            &[context.service, database, outcome],
            1.0,
        ));
    }

    /// Whether the business is told of what passes on a connection: where its end that owns the
    /// facts is observed, and no other connection passes on the same for that end.
    pub(super) fn owns_facts(&mut self, connection: ConnectionKey) -> bool {
        let connections = &mut self.connections;
        match self.authority {
            Authority::Client => {
                connections.is_seen_at(connection, Side::Client) && !connections.is_hop(connection)
            }
            Authority::Server => {
                connections.is_seen_at(connection, Side::Server)
                    && !connections.is_front(connection)
            }
        }
    }

    /// A pooler's way to the database owns its facts.
    pub(super) fn passed_on(
        &mut self,
        exchange: &Exchange,
        database: Symbol,
        out: &mut dyn FnMut(Fact),
    ) {
        match &exchange.body {
            Body::Sql(execution) => {
                let named = self.namer.name(execution, &mut self.symbols);
                let context = &mut business::Context {
                    connection: exchange.connection,
                    database,
                    time: execution.ended,
                    symbols: &mut self.symbols,
                    out,
                };
                means(&mut self.business, named, execution, context);
            }
            Body::SqlTransaction(end) => self.settled(*end, exchange, database, out),
            Body::SqlHidden => self.business.doubt(exchange.connection),
            _ => {}
        }
    }

    /// What happened to the business depends on how the transaction ended.
    pub(super) fn settled(
        &mut self,
        end: Transaction,
        exchange: &Exchange,
        database: Symbol,
        out: &mut dyn FnMut(Fact),
    ) {
        let context = &mut business::Context {
            connection: exchange.connection,
            database,
            time: exchange.ended,
            symbols: &mut self.symbols,
            out,
        };
        self.business.transaction(end, context);
    }
}

/// What a statement means for the business.
fn means(
    business: &mut Business,
    named: Named<'_>,
    execution: &Execution,
    context: &mut business::Context<'_>,
) {
    match named.reads {
        Some(reads) if !reads.business.is_empty() => {
            let execution = execution.asked(&reads.wanted);
            business.execution(&execution, &reads.business, context);
        }
        _ => {
            business.pass_over(named.query);
            business.execution(execution, &[], context);
        }
    }
}

/// The one shop an execution names, `unknown` for one that nothing proves; `None` where it names
/// none or several. What its rows and its tag prove is learnt.
fn shop(
    execution: &Execution,
    reads: &Reads,
    shops: &mut Shops,
    symbols: &mut Symbols,
) -> Option<Symbol> {
    let execution = &*execution.asked(&reads.wanted);
    let at = execution.ended;
    let parameter =
        |index: Option<usize>| -> Option<&Value> { execution.parameters.get(index?)?.as_ref() };
    let asked = parameter(reads.shop).and_then(id_of);
    if let Some(id) = asked
        && execution.outcome == Outcome::Completed
        && execution.rows.is_some_and(|rows| rows > 0)
        && WRITES.contains(&execution.tag.as_str())
    {
        shops.prove(id, at, symbols);
    }
    let returned = returned(execution, reads, shops, symbols, at);
    if let Returned::One(id) = returned
        && execution.rows == Some(1)
    {
        let subdomain = parameter(reads.subdomain).or_else(|| {
            let subdomains = reads.shop_columns..reads.named_columns;
            let mut cells = execution.columns.iter();
            let cell = cells.find(|cell| subdomains.contains(&cell.column))?;
            Some(&cell.value)
        });
        if let Some(subdomain) = subdomain.and_then(|value| value.bytes.as_deref()) {
            shops.learn(subdomain, id, at);
        }
    }
    let id = match (asked, returned) {
        (Some(id), _) | (None, Returned::One(id)) => id,
        (None, Returned::None | Returned::Several) => return None,
    };
    Some(shops.proven(id, at).unwrap_or(Symbol::UNKNOWN))
}

/// The shops that an execution's rows name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Returned {
    None,
    One(i64),
    Several,
}

fn returned(
    execution: &Execution,
    reads: &Reads,
    shops: &mut Shops,
    symbols: &mut Symbols,
    at: Timestamp,
) -> Returned {
    let mut returned = Returned::None;
    let columns = execution.columns.iter();
    for cell in columns.filter(|cell| cell.column < reads.shop_columns) {
        let Some(id) = id_of(&cell.value) else {
            continue;
        };
        returned = match returned {
            Returned::One(one) if one == id => continue,
            Returned::None => Returned::One(id),
            _ => Returned::Several,
        };
        shops.prove(id, at, symbols);
    }
    returned
}
