use std::collections::BTreeMap;
use std::sync::Arc;

use observer_ebpf::{Identity, Reason};
use smallvec::{SmallVec, smallvec};

use super::{Authority, Interpreter, Peer, Plan, Rules, Services, Settings};
use crate::correlate::http::{self, AbortReason, Request};
use crate::correlate::postgres::{
    self, Cell, Execution, Outcome, SqlState, Statement, Value, Which,
};
use crate::correlate::{Body, Connection, Exchange, redis};
use crate::decode::Side;
use crate::export::catalog::CATALOG;
use crate::export::{Fact, Symbol, Symbols};
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;

/// Names a service by its cgroup's number, and the peer by its port; [`EXTERNAL`]'s has no name.
struct ByNumber;

/// The port of hosts of which only the address is known.
const EXTERNAL: u16 = 443;

impl Services for ByNumber {
    fn service(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        symbols.intern(&format!("s{}", connection.identity.cgroup))
    }

    fn peer(&mut self, connection: &Connection, symbols: &mut Symbols) -> Peer {
        match connection.identity.remote_port {
            EXTERNAL => Peer::External,
            port => Peer::Named(symbols.intern(&format!("p{port}"))),
        }
    }
}

/// An interpreter, and the sum and number of every series' facts.
struct Story {
    interpreter: Interpreter,
    series: BTreeMap<String, (f64, u32)>,
}

impl Story {
    fn new(settings: &Settings) -> Self {
        let plan = Plan::new(&Rules::naytife().unwrap()).unwrap();
        Self {
            interpreter: Interpreter::new(plan, settings, Box::new(ByNumber)),
            series: BTreeMap::new(),
        }
    }

    fn take(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            let row = CATALOG
                .iter()
                .find(|row| row.metric == fact.metric)
                .unwrap();
            assert_eq!(row.labels.len(), fact.labels.len(), "{}", row.name);
            let values = fact
                .labels
                .iter()
                .map(|label| self.interpreter.symbols().value(*label));
            let name = row.name.trim_start_matches("naytife_");
            let series = format!("{name}{{{}}}", values.collect::<Vec<_>>().join(","));
            let entry = self.series.entry(series).or_default();
            entry.0 += fact.value;
            entry.1 += 1;
        }
    }

    fn at(&mut self, connection: u64, ended: u64, body: Body) {
        let mut facts = Vec::new();
        let exchange = Exchange {
            connection: ConnectionKey(connection),
            ended: Timestamp(ended),
            body,
        };
        self.interpreter
            .exchange(&exchange, &mut |fact| facts.push(fact));
        self.take(facts);
    }

    fn replace(&mut self, rules: &Rules) {
        let mut facts = Vec::new();
        let plan = Plan::new(rules).unwrap();
        self.interpreter.replace(plan, &mut |fact| facts.push(fact));
        self.take(facts);
    }

    fn settle(&mut self, until: u64) {
        let mut facts = Vec::new();
        self.interpreter
            .settle(Timestamp(until), &mut |fact| facts.push(fact));
        self.take(facts);
    }

    fn connect(&mut self, key: u64, cgroup: u64, vantage: Side) {
        self.join(key, cgroup, vantage, None, false);
    }

    /// A connection whose other end may be observed, and which may be older than the agent.
    fn join(
        &mut self,
        key: u64,
        cgroup: u64,
        vantage: Side,
        other_end: Option<u64>,
        joined_sql: bool,
    ) {
        self.meet(Connection {
            other_end,
            joined_sql,
            ..connection(key, cgroup, vantage)
        });
    }

    fn meet(&mut self, connection: Connection) {
        self.at(connection.key.0, 0, Body::Connection(Arc::new(connection)));
    }

    fn http(&mut self, key: u64, ended: u64, method: &str, path: &str, status: u16) {
        self.request(
            key,
            ended,
            status,
            Request {
                method: method.into(),
                path: path.into(),
                size: 100,
                ..Request::default()
            },
            b"",
        );
    }

    fn request(&mut self, key: u64, ended: u64, status: u16, request: Request, response: &[u8]) {
        self.at(key, ended, Body::HttpBegan);
        self.at(
            key,
            ended,
            Body::Http(Box::new(http::Exchange {
                request,
                status,
                began: Timestamp(ended),
                waited: 0.0,
                ended: Timestamp(ended),
                response_size: 50,
                response_body: response.to_vec(),
            })),
        );
    }

    fn sql(&mut self, key: u64, ended: u64, execution: Execution) {
        self.at(
            key,
            ended,
            Body::Sql(Box::new(Execution {
                ended: Timestamp(ended),
                ..execution
            })),
        );
    }

    /// The series that begin so, with sum and number of facts.
    fn see(&self, prefix: &str) -> Vec<(&str, f64, u32)> {
        self.series
            .iter()
            .filter_map(|(name, (sum, count))| Some((name.strip_prefix(prefix)?, *sum, *count)))
            .collect()
    }

    fn durations(&self) -> Vec<(&str, u32)> {
        let seen = self.see("http_request_duration_seconds");
        seen.into_iter()
            .map(|(labels, _, count)| (labels, count))
            .collect()
    }
}

fn connection(key: u64, cgroup: u64, vantage: Side) -> Connection {
    let identity = Identity {
        cgroup,
        remote_port: 5432,
        ..Identity::default()
    };
    Connection {
        key: ConnectionKey(key),
        identity,
        vantage,
        other_end: None,
        elsewhere: false,
        joined_sql: false,
    }
}

fn int8(id: i64) -> Value {
    Value {
        binary: true,
        oid: 20,
        bytes: Some(SmallVec::from_slice(&id.to_be_bytes())),
    }
}

fn text(value: &str) -> Value {
    Value {
        binary: false,
        oid: 25,
        bytes: Some(SmallVec::from_slice(value.as_bytes())),
    }
}

/// A value of the first row.
fn cell(column: u16, value: Value) -> Cell {
    Cell {
        row: 0,
        column,
        value,
    }
}

fn execution(sql: &str, tag: &str, rows: u64) -> Execution {
    let id = sql.bytes().fold(7_u64, |id, byte| {
        id.wrapping_mul(31).wrapping_add(byte.into())
    });
    Execution {
        which: Which::Known(Arc::new(Statement {
            id,
            text: sql.into(),
            cut: false,
        })),
        began: Timestamp(0),
        ended: Timestamp(0),
        waited: 0.0,
        seconds: 0.5,
        timed: true,
        outcome: Outcome::Completed,
        tag: tag.into(),
        rows: Some(rows),
        wanted: None,
        control: None,
        parameters: SmallVec::new(),
        columns: Vec::new(),
    }
}

const COUNT: &str = "-- name: CountOrders :one\nSELECT count(*) FROM orders WHERE shop_id = $1";
const GET_SHOP: &str = "-- name: GetShop :one\nSELECT * FROM shops WHERE shop_id = $1";
const LOOK_UP: &str =
    "-- name: GetShopIDBySubDomain :one\nSELECT shop_id FROM shops WHERE subdomain = $1";
const DELETE: &str =
    "-- name: DeleteOrder :exec\nDELETE FROM orders WHERE order_id = $1 AND shop_id = $2";

mod connections;
mod graph;
mod hops;
mod peers;
mod reload;
mod requests;
mod shops;

proptest::proptest! {
    #[test]
    fn arbitrary_bodies_are_survived(data in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
        super::json::fuzz(&data);
        super::graphql::fuzz(&data);
    }

    #[test]
    fn arbitrary_graphql_is_survived(text in "[{}\\[\\]\"\\\\:,a-c0-2 #().]{0,120}") {
        super::json::fuzz(text.as_bytes());
        super::graphql::fuzz(text.as_bytes());
        super::graphql::fuzz(format!("{{\"query\":\"{text}").as_bytes());
        super::graphql::fuzz(format!("{{\"data\":{{\"a\":{{\"errors\":{text}").as_bytes());
    }
}
