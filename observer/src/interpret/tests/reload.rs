//! Other rules, while everything goes on.

use super::*;
use crate::correlate::postgres::Wanted;

/// Replaces the rules.
fn replace(story: &mut Story, yaml: &str) {
    story.replace(&Rules::parse(yaml).unwrap());
}

const OTHER: &str = "
http:
  path_parameters: { shop: id }
  services:
    web:
      routes: ['/v1/shops/{shop}/{kind}', /query]
sql:
  shop_columns: [owner]
  statements:
    CountOrders: { operation: SELECT, shop: 2 }
";

#[test]
fn the_next_request_has_the_new_route_and_what_was_counted_stays() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 1, Side::Server);
    story.http(1, 10, "GET", "/v1/shops/abc/orders", 200);
    story.settle(10);
    replace(&mut story, OTHER);
    story.http(1, 20, "GET", "/v1/shops/abc/orders", 200);
    story.http(1, 21, "POST", "/query", 200);
    story.settle(30);
    assert_eq!(
        story.durations(),
        [
            ("{GET,/v1/shops/{shop_id}/orders,200,unknown,s1}", 1),
            ("{GET,/v1/shops/{shop}/{kind},200,unknown,s1}", 1),
            ("{POST,/query,200,,s1}", 1),
        ]
    );
}

#[test]
fn a_request_that_waits_for_its_proof_keeps_the_endpoint_it_had() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 1, Side::Server);
    story.http(1, 10, "GET", "/v1/shops/7/orders", 200);
    replace(&mut story, OTHER);
    story.settle(10);
    assert_eq!(
        story.durations(),
        [("{GET,/v1/shops/{shop_id}/orders,200,unknown,s1}", 1)]
    );
}

#[test]
fn values_kept_for_the_rules_before_are_not_taken_for_those_of_the_new_ones() {
    let mut story = Story::new(&Settings::default());
    story.connect(2, 1, Side::Client);
    let wanted = |parameter, column: &str| {
        Some(Arc::new(Wanted {
            parameters: vec![parameter],
            columns: vec![column.to_owned()],
            rows: false,
        }))
    };
    let text = "-- name: CountOrders :one\nSELECT count(*) FROM orders WHERE x = $1 AND y = $2";
    let kept = |parameter, column| Execution {
        wanted: wanted(parameter, column),
        parameters: smallvec![Some(int8(7))],
        columns: vec![cell(0, int8(8))],
        ..execution(text, "SELECT", 1)
    };
    replace(&mut story, OTHER);
    // Bound before: neither the first parameter nor that column names a shop any more.
    story.sql(2, 10, kept(1, "shop_id"));
    assert_eq!(story.see("database_shop_query_duration_seconds"), []);
    // Bound after.
    story.sql(2, 20, kept(2, "owner"));
    story.sql(
        2,
        30,
        Execution {
            parameters: smallvec![Some(int8(8))],
            ..kept(2, "owner")
        },
    );
    assert_eq!(
        story.see("database_shop_query_duration_seconds"),
        [("{8,s1}", 0.5, 1), ("{unknown,s1}", 0.5, 1)]
    );
}

#[test]
fn shops_must_be_proven_again_only_where_sql_is_read_in_another_way() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 1, Side::Server);
    story.connect(2, 1, Side::Client);
    let row = Execution {
        columns: vec![cell(0, int8(7))],
        ..execution(GET_SHOP, "SELECT", 1)
    };
    story.sql(2, 5, row);
    story.replace(&Rules::naytife().unwrap());
    story.http(1, 10, "GET", "/v1/shops/7/orders", 200);
    replace(&mut story, OTHER);
    story.http(1, 20, "PUT", "/v1/shops/7/orders", 200);
    story.settle(30);
    assert_eq!(
        story.durations(),
        [
            ("{GET,/v1/shops/{shop_id}/orders,200,7,s1}", 1),
            ("{PUT,/v1/shops/{shop}/{kind},200,unknown,s1}", 1),
        ]
    );
}
