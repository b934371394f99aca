use std::collections::BTreeMap;
use std::sync::Arc;

use observer_ebpf::{Identity, Reason};
use smallvec::{SmallVec, smallvec};

use super::{Interpreter, Plan, Rules, Services, Settings};
use crate::correlate::http::{self, AbortReason, Request};
use crate::correlate::postgres::{self, Execution, Outcome, SqlState, Statement, Value, Which};
use crate::correlate::{Body, Connection, Exchange, redis};
use crate::decode::Side;
use crate::export::catalog::CATALOG;
use crate::export::{Fact, Symbol, Symbols};
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;

/// Names a service by its cgroup's number, and the peer by its port.
struct ByNumber;

impl Services for ByNumber {
    fn service(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        symbols.intern(&format!("s{}", connection.identity.cgroup))
    }

    fn peer(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        symbols.intern(&format!("p{}", connection.identity.remote_port))
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

    fn settle(&mut self, until: u64) {
        let mut facts = Vec::new();
        self.interpreter
            .settle(Timestamp(until), &mut |fact| facts.push(fact));
        self.take(facts);
    }

    fn connect(&mut self, key: u64, cgroup: u64, vantage: Side) {
        let identity = Identity {
            cgroup,
            remote_port: 5432,
            ..Identity::default()
        };
        let connection = Connection {
            key: ConnectionKey(key),
            identity,
            vantage,
            both_ends: false,
        };
        self.at(key, 0, Body::Connection(Arc::new(connection)));
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
        outcome: Outcome::Completed,
        tag: tag.into(),
        rows: Some(rows),
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

#[test]
fn an_http_request_is_counted_at_the_end_where_it_was_seen() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 1, Side::Server);
    story.connect(2, 2, Side::Client);
    story.http(1, 10, "GET", "/health", 200);
    story.http(1, 11, "GET", "/v1/shops/abc/orders", 200);
    story.http(1, 12, "BREW", "/users/jo@example.com", 200);
    story.http(1, 13, "GET", "/wp-admin", 404);
    story.http(2, 14, "POST", "/update-data/acme", 200);
    assert_eq!(
        story.durations(),
        [
            ("{GET,/health,200,,s1}", 1),
            ("{GET,/v1/shops/{shop_id}/orders,200,unknown,s1}", 1),
            ("{GET,_other,404,,s1}", 1),
            ("{_other,/users/{id},200,,s1}", 1),
        ]
    );
    assert_eq!(
        story.see("http_client_request_duration_seconds"),
        [("{s2,p5432,POST,/update-data/{subdomain},200}", 0.0, 1)]
    );
    assert_eq!(
        story.see("http_request_size_bytes{GET,/health"),
        [(",s1}", 100.0, 1)]
    );
    assert_eq!(
        story.see("http_response_size_bytes{GET,/health"),
        [(",s1}", 50.0, 1)]
    );
    assert_eq!(story.see("http_requests_in_flight"), [("{s1}", 0.0, 8)]);
}

#[test]
fn a_shop_is_unknown_until_a_row_names_it() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 1, Side::Server);
    story.connect(2, 1, Side::Client);
    // A parameter proves nothing, a count of it neither.
    story.sql(
        2,
        5,
        Execution {
            parameters: smallvec![Some(int8(7))],
            ..execution(COUNT, "SELECT", 1)
        },
    );
    story.http(1, 10, "GET", "/v1/shops/7/orders", 200);
    assert_eq!(story.durations(), []);
    // The proof arrives before the batch is settled, but it is younger.
    let row = || vec![(0, int8(7))];
    story.sql(
        2,
        20,
        Execution {
            columns: row(),
            parameters: smallvec![Some(int8(7))],
            ..execution(GET_SHOP, "SELECT", 1)
        },
    );
    story.http(1, 21, "GET", "/v1/shops/7/orders", 200);
    story.settle(20);
    assert_eq!(
        story.durations(),
        [
            ("{GET,/v1/shops/{shop_id}/orders,200,7,s1}", 1),
            ("{GET,/v1/shops/{shop_id}/orders,200,unknown,s1}", 1),
        ]
    );
    assert_eq!(
        story.see("database_shop_query_duration_seconds"),
        [("{7,s1}", 0.5, 1), ("{unknown,s1}", 0.5, 1)]
    );
}

#[test]
fn a_proof_that_arrives_late_counts_if_it_is_older() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 1, Side::Server);
    story.connect(2, 1, Side::Client);
    story.http(1, 30, "GET", "/v1/shops/7", 200);
    story.sql(
        2,
        29,
        Execution {
            columns: vec![(0, int8(7))],
            ..execution(GET_SHOP, "SELECT", 1)
        },
    );
    story.settle(30);
    assert_eq!(
        story.durations(),
        [("{GET,/v1/shops/{shop_id},200,7,s1}", 1)]
    );
}

#[test]
fn a_write_proves_a_shop_by_its_tag() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 1, Side::Server);
    story.connect(2, 1, Side::Client);
    let delete = |id, rows| Execution {
        parameters: smallvec![Some(int8(id))],
        ..execution(DELETE, "DELETE", rows)
    };
    story.sql(2, 5, delete(7, 1));
    story.sql(2, 6, delete(8, 0));
    for id in [7, 8] {
        story.http(1, 10, "DELETE", &format!("/v1/shops/{id}/orders/1"), 200);
    }
    story.settle(u64::MAX);
    assert_eq!(
        story.durations(),
        [
            ("{DELETE,/v1/shops/{shop_id}/orders/{order_id},200,7,s1}", 1),
            (
                "{DELETE,/v1/shops/{shop_id}/orders/{order_id},200,unknown,s1}",
                1
            ),
        ]
    );
}

#[test]
fn a_subdomain_is_the_shop_that_sql_resolved_it_to() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 1, Side::Server);
    story.connect(2, 1, Side::Client);
    story.sql(
        2,
        5,
        Execution {
            parameters: smallvec![Some(text("acme"))],
            columns: vec![(0, int8(7))],
            ..execution(LOOK_UP, "SELECT", 1)
        },
    );
    // A row with both, from a statement that no rule names.
    story.sql(
        2,
        6,
        Execution {
            columns: vec![(0, int8(8)), (1, text("zeta"))],
            ..execution("select * from shops limit 1", "SELECT", 1)
        },
    );
    let ask = |host: &str, body: &str| Request {
        method: "POST".into(),
        path: "/query".into(),
        host: host.into(),
        body: body.into(),
        ..Request::default()
    };
    story.request(
        1,
        10,
        200,
        ask(
            "acme.localhost:8080",
            r#"{"query":"query GetShop { shop { id } }"}"#,
        ),
        b"{}",
    );
    story.request(
        1,
        11,
        200,
        ask(
            "zeta.localhost",
            r#"{"query":"mutation { createOrder(input: {}) { order } }"}"#,
        ),
        br#"{"data":{"createOrder":{"errors":[{"message":"x"}]}}}"#,
    );
    story.request(
        1,
        12,
        401,
        ask("nobody.localhost", r#"{"query":"query Scan1 { a }"}"#),
        br#"{"error":"Invalid shop"}"#,
    );
    story.request(
        1,
        13,
        422,
        ask("acme.localhost", r#"{"query":"{"}"#),
        br#"{"errors":[1]}"#,
    );
    story.request(
        1,
        14,
        405,
        Request {
            method: "GET".into(),
            ..ask("acme.localhost", "")
        },
        b"",
    );
    story.settle(99);
    assert_eq!(
        story.durations(),
        [
            ("{GET,/query,405,7,s1}", 1),
            ("{POST,/query GetShop,200,7,s1}", 1),
            ("{POST,/query _other,401,unknown,s1}", 1),
            ("{POST,/query createOrder,200,8,s1}", 1),
            ("{POST,/query unknown,422,7,s1}", 1),
        ]
    );
    assert_eq!(
        story.see("graphql_errors_total"),
        [("{s1,createOrder,8}", 1.0, 1)]
    );
}

#[test]
fn path_ids_are_trusted_only_on_demand_and_only_without_sql() {
    let settings = Settings {
        trust_path_ids: true,
        trusted_path_ids: 1,
        ..Settings::default()
    };
    let mut story = Story::new(&settings);
    story.connect(1, 1, Side::Server);
    for path in ["/v1/shops/7", "/v1/shops/8", "/v1/shops/-1"] {
        story.http(1, 10, "GET", path, 200);
    }
    story.connect(2, 1, Side::Client);
    story.sql(2, 11, execution("select 1", "SELECT", 1));
    story.http(1, 12, "GET", "/v1/shops/7", 200);
    story.settle(12);
    assert_eq!(
        story.durations(),
        [
            ("{GET,/v1/shops/{shop_id},200,7,s1}", 1),
            ("{GET,/v1/shops/{shop_id},200,_other,s1}", 1),
            ("{GET,/v1/shops/{shop_id},200,unknown,s1}", 2),
        ]
    );
}

#[test]
fn claims_that_wait_are_bounded() {
    let mut story = Story::new(&Settings {
        pending: 2,
        ..Settings::default()
    });
    story.connect(1, 1, Side::Server);
    for id in 1..=5 {
        story.http(1, 10, "GET", &format!("/v1/shops/{id}"), 200);
    }
    assert_eq!(
        story.durations(),
        [("{GET,/v1/shops/{shop_id},200,unknown,s1}", 3)]
    );
    story.settle(9);
    assert_eq!(story.durations()[0].1, 3);
    story.settle(10);
    assert_eq!(story.durations()[0].1, 5);
}

#[test]
fn gauges_are_balanced_whatever_ends_a_connection() {
    let session = |database: &str| {
        Body::SqlSession(Box::new(postgres::Session {
            database: database.into(),
        }))
    };
    let mut story = Story::new(&Settings {
        connections: 3,
        ..Settings::default()
    });
    story.connect(1, 1, Side::Server);
    story.at(1, 1, Body::HttpBegan);
    story.at(1, 1, Body::HttpBegan);
    story.connect(2, 2, Side::Client);
    story.at(2, 1, Body::SqlTransaction(postgres::Transaction::Commit));
    story.at(2, 1, session("naytifedb"));
    story.connect(2, 3, Side::Client);
    let open = [
        ("{naytifedb,s2}", 0.0, 2),
        ("{naytifedb,s3}", 1.0, 1),
        ("{unknown,s2}", 0.0, 2),
    ];
    assert_eq!(story.see("database_connections_active"), open);
    assert_eq!(story.see("http_requests_in_flight"), [("{s1}", 2.0, 2)]);
    story.at(
        1,
        2,
        Body::HttpAborted(Box::new(http::Aborted {
            request: Request::default(),
            reason: AbortReason::Reset,
            ended: Timestamp(2),
        })),
    );
    story.at(1, 3, Body::Closed(Reason::ResetByPeer));
    story.connect(3, 4, Side::Client);
    story.connect(4, 5, Side::Client);
    story.connect(5, 6, Side::Client);
    for family in ["http_requests_in_flight", "database_connections_active"] {
        assert!(
            story.see(family).iter().all(|(_, sum, _)| *sum == 0.0),
            "{family}"
        );
    }
    assert_eq!(
        story.see("http_requests_aborted_total"),
        [("{s1,reset}", 1.0, 1)]
    );
    assert_eq!(
        story.see("tcp_connections_reset_total"),
        [("{s1,p5432,peer}", 1.0, 1)]
    );
}

#[test]
fn sql_is_counted_with_its_errors_rows_and_transactions() {
    let mut story = Story::new(&Settings::default());
    story.connect(2, 1, Side::Client);
    story.sql(
        2,
        1,
        execution("-- name: ListOrders :many\nSELECT 1", "SELECT", 12),
    );
    story.sql(
        2,
        2,
        Execution {
            outcome: Outcome::Failed(SqlState(*b"23505")),
            rows: None,
            ..execution(
                "-- name: CreateOrder :one\nINSERT INTO orders (a) VALUES ($1)",
                "",
                0,
            )
        },
    );
    story.at(2, 3, Body::SqlError(SqlState(*b"22P02")));
    story.at(2, 4, Body::SqlTransaction(postgres::Transaction::Failed));
    assert_eq!(
        story.see("database_query_duration_seconds"),
        [
            ("{s1,unknown,CreateOrder,INSERT}", 0.5, 1),
            ("{s1,unknown,ListOrders,SELECT}", 0.5, 1),
        ]
    );
    assert_eq!(
        story.see("database_rows_total"),
        [("{s1,unknown,ListOrders,SELECT}", 12.0, 1)]
    );
    assert_eq!(
        story.see("database_errors_total"),
        [
            ("{s1,unknown,22P02}", 1.0, 1),
            ("{s1,unknown,23505}", 1.0, 1)
        ]
    );
    assert_eq!(
        story.see("database_transactions_total"),
        [("{s1,unknown,failed}", 1.0, 1)]
    );
    assert_eq!(
        story.see("database_connections_active"),
        [("{unknown,s1}", 1.0, 1)]
    );
}

#[test]
fn redis_commands_are_counted_by_outcome_and_timed_where_the_time_is_theirs() {
    let mut story = Story::new(&Settings::default());
    story.connect(3, 1, Side::Client);
    let mut word = [0; 16];
    word[..9].copy_from_slice(b"WRONGTYPE");
    let mut odd = [0; 16];
    odd[..4].copy_from_slice(b"a@b!");
    for (outcome, timed, hits, misses) in [
        (redis::Outcome::Ok, true, 2, 1),
        (redis::Outcome::Ok, false, 0, 0),
        (redis::Outcome::Queued, true, 0, 0),
        (redis::Outcome::Error(word), true, 0, 0),
        (redis::Outcome::Error(odd), true, 0, 0),
        (redis::Outcome::Unknown, false, 0, 0),
    ] {
        story.at(
            3,
            1,
            Body::Redis(redis::Exchange {
                command: "mget",
                began: Timestamp(0),
                ended: Timestamp(1_000_000_000),
                waited: 0.25,
                timed,
                outcome,
                hits,
                misses,
            }),
        );
    }
    assert_eq!(
        story.see("redis_command_duration_seconds"),
        [("{s1,mget}", 4.0, 4)]
    );
    assert_eq!(story.see("redis_command_wait_seconds"), [("{s1}", 1.0, 4)]);
    assert_eq!(
        story.see("redis_commands_total"),
        [
            ("{s1,mget,WRONGTYPE}", 1.0, 1),
            ("{s1,mget,_other}", 1.0, 1),
            ("{s1,mget,ok}", 2.0, 2),
            ("{s1,mget,queued}", 1.0, 1),
            ("{s1,mget,unknown}", 1.0, 1),
        ]
    );
    assert_eq!(
        story.see("redis_lookups_total"),
        [("{s1,hit}", 2.0, 1), ("{s1,miss}", 1.0, 1)]
    );
}

#[test]
fn tcp_events_are_counted_by_both_ends_names() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 1, Side::Client);
    story.at(1, 1, Body::Opened);
    story.at(1, 2, Body::Retransmitted(3));
    story.at(1, 3, Body::RoundTrip(250));
    story.at(1, 4, Body::Closed(Reason::Finished));
    story.at(1, 5, Body::Closed(Reason::ResetByUs));
    story.connect(2, 1, Side::Client);
    story.at(2, 6, Body::Failed(Reason::Refused));
    story.at(9, 7, Body::Accepted);
    let seen: Vec<_> = story
        .see("tcp_")
        .into_iter()
        .map(|(name, sum, _)| (name, sum))
        .collect();
    assert_eq!(
        seen,
        [
            ("connections_accepted_total{unknown,unknown}", 1.0),
            ("connections_opened_total{s1,p5432}", 1.0),
            ("connections_refused_total{s1,p5432,refused}", 1.0),
            ("round_trip_seconds{s1,p5432}", 0.000_25),
            ("segments_retransmitted_total{s1,p5432}", 3.0),
        ]
    );
}

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
