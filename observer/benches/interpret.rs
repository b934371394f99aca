//! What an exchange costs in `interpret`: labels, shop and facts, without what becomes of them.
#![expect(clippy::expect_used, reason = "a bench without rules measures nothing")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use observer::correlate::postgres::{self, Cell, Execution, Outcome, Statement, Value, Which};
use observer::correlate::{Body, Connection, Exchange, http, redis};
use observer::decode::Side;
use observer::decode::redis::command::{OTHER, find};
use observer::export::{Symbol, Symbols};
use observer::interpret::{Interpreter, Peer, Plan, Rules, Services, Settings};
use observer::reassemble::ConnectionKey;
use observer::time::Timestamp;
use observer_ebpf::Identity;

struct One;

impl Services for One {
    fn service(&mut self, _: &Connection, symbols: &mut Symbols) -> Symbol {
        symbols.intern("backend")
    }

    fn peer(&mut self, _: &Connection, symbols: &mut Symbols) -> Peer {
        Peer::Named(symbols.intern("postgres"))
    }
}

fn exchange(body: Body) -> Exchange {
    Exchange {
        connection: ConnectionKey(1),
        ended: Timestamp(2_000_000),
        body,
    }
}

fn interpreter() -> Interpreter {
    let plan = Plan::new(&Rules::naytife().expect("embedded")).expect("embedded");
    let mut interpreter = Interpreter::new(plan, &Settings::default(), Box::new(One));
    let connection = Connection {
        key: ConnectionKey(1),
        identity: Identity::default(),
        vantage: Side::Server,
        other_end: None,
        elsewhere: false,
        joined_sql: false,
    };
    let session = postgres::Session {
        accepted: true,
        database: "naytifedb".into(),
    };
    for body in [
        Body::Connection(Arc::new(connection)),
        Body::SqlSession(Box::new(session)),
        sql(
            "-- name: GetShop :one\nSELECT * FROM shops WHERE shop_id = $1",
            1,
        ),
    ] {
        interpreter.exchange(&exchange(body), &mut |_| {});
    }
    interpreter
}

fn request(method: &str, path: &str, status: u16, body: &str, response: &str) -> Body {
    Body::Http(Box::new(http::Exchange {
        request: http::Request {
            method: method.into(),
            path: path.into(),
            shop_subdomain: "acme".into(),
            body: body.into(),
            ..http::Request::default()
        },
        status,
        began: Timestamp(1),
        waited: 0.0,
        ended: Timestamp(2_000_000),
        response_size: 4096,
        response_body: response.into(),
    }))
}

fn sql(text: &str, id: u64) -> Body {
    let shop = Value {
        binary: true,
        oid: 20,
        bytes: Some(7_i64.to_be_bytes().into_iter().collect()),
    };
    Body::Sql(Box::new(Execution {
        which: Which::Known(Arc::new(Statement {
            id,
            text: text.into(),
            cut: false,
        })),
        began: Timestamp(0),
        ended: Timestamp(1_000_000),
        waited: 0.0,
        seconds: 0.001,
        timed: true,
        outcome: Outcome::Completed,
        tag: "SELECT".into(),
        rows: Some(1),
        wanted: None,
        parameters: [Some(shop.clone())].into_iter().collect(),
        control: None,
        columns: vec![Cell {
            row: 0,
            column: 0,
            value: shop,
        }],
    }))
}

fn exchanges(c: &mut Criterion) {
    let query = format!(
        r#"{{"query":"query GetProducts($first: Int) {{ {} }}","variables":{{"first":10}}}}"#,
        "products(first: $first) { edges { node { id title } } } ".repeat(8)
    );
    let answer = format!(
        r#"{{"data":{{"products":[{}]}}}}"#,
        r#"{"id":"UHJvZHVjdDox","title":"Shirt"},"#.repeat(200)
    );
    let redis = Body::Redis(redis::Exchange {
        command: find(b"get").unwrap_or(&OTHER),
        began: Timestamp(0),
        ended: Timestamp(1000),
        waited: 0.0,
        time: redis::Time::Server,
        outcome: redis::Outcome::Ok,
        hits: 1,
        misses: 0,
    });
    let mut group = c.benchmark_group("interpret");
    for (name, body) in [
        ("http_health", request("GET", "/health", 200, "", "")),
        (
            "http_order",
            request("GET", "/v1/shops/7/orders/123456", 200, "", ""),
        ),
        (
            "http_upper_case",
            request("GET", "/V1/Shops/7/Orders/123456", 200, "", ""),
        ),
        (
            "http_unmatched",
            request("GET", "/assets/img/3f2504e04f89/x", 200, "", ""),
        ),
        (
            "http_graphql",
            request("POST", "/query", 200, &query, &answer),
        ),
        (
            "sql_named",
            sql(
                "-- name: GetShop :one\nSELECT * FROM shops WHERE shop_id = $1",
                1,
            ),
        ),
        ("redis_get", redis),
    ] {
        let mut interpreter = interpreter();
        let exchange = exchange(body);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                interpreter.exchange(black_box(&exchange), &mut |fact| drop(black_box(fact)));
            });
        });
    }
    // Every text is a new one: what literals in simple queries do.
    let mut interpreter = interpreter();
    let mut id = 10;
    group.bench_function("sql_new_text", |bencher| {
        bencher.iter_batched(
            || {
                id += 1;
                exchange(sql(
                    &format!(
                        "UPDATE pgbench_accounts SET abalance = abalance + {id} WHERE aid = {id};"
                    ),
                    id,
                ))
            },
            |exchange| {
                interpreter.exchange(black_box(&exchange), &mut |fact| drop(black_box(fact)));
            },
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, exchanges);
criterion_main!(benches);
