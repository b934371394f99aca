//! Requests, and the shops they are about.

use super::*;

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
    let row = || vec![cell(0, int8(7))];
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
            columns: vec![cell(0, int8(7))],
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
            columns: vec![cell(0, int8(7))],
            ..execution(LOOK_UP, "SELECT", 1)
        },
    );
    // A row with both, from a statement that no rule names.
    story.sql(
        2,
        6,
        Execution {
            columns: vec![cell(0, int8(8)), cell(1, text("zeta"))],
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
