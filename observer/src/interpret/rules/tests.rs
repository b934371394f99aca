use super::{Rules, RulesError};

fn error(yaml: &str) -> String {
    Rules::parse(yaml).unwrap_err().to_string()
}

const SMALL: &str = "
http:
  services:
    shop:
      routes:
        - /orders/{order_id}
        - /query
      graphql: [/query]
      shops:
        - route: /query
          places: [{ from: header, name: X-Shop-Subdomain, holds: subdomain }]
sql:
  shop_columns: [shop_id]
  statements:
    GetOrder: { operation: SELECT, shop: 2 }
";

#[test]
fn the_embedded_rules_are_valid() {
    let rules = Rules::naytife().unwrap();
    assert_eq!(rules.sql.statements.len(), 88);
    assert!(rules.problems().is_empty());
}

#[test]
fn a_rule_that_names_nothing_is_an_error_with_place_and_suggestion() {
    Rules::parse(SMALL).unwrap();
    for (from, to, want) in [
        (
            "graphql: [/query]",
            "graphql: [/qurey]",
            "line 8 column 17: http.services.shop.graphql[0]: the service has no route `/qurey`; did you mean `/query`?",
        ),
        (
            "route: /query",
            "route: /orders/{id}",
            "http.services.shop.shops[0].route: the service has no route `/orders/{id}`",
        ),
        (
            "- /query",
            "- /orders/{order_id}",
            "`/orders/{order_id}` is listed twice",
        ),
        ("- /query", "- query", "a route begins with `/`"),
        ("- /query", "- /orders/{x", "`/orders/{x`"),
        (
            "X-Shop-Subdomain",
            "X-Shop",
            "the header `X-Shop` is not kept; did you mean `X-Shop-Subdomain`?",
        ),
        (
            "from: header, name: X-Shop-Subdomain",
            "from: path, name: x",
            "the route has no parameter `x`",
        ),
        (
            "from: header, name: X-Shop-Subdomain",
            "from: body",
            "the place needs a name",
        ),
        (
            "SELECT",
            "SELCT",
            "`SELCT` is no operation; did you mean `SELECT`?",
        ),
        ("shop: 2", "shop: 0", "parameters are counted from 1"),
        ("shop: 2", "pgx: 12", "48 hexadecimal digits were expected"),
        (
            "http:",
            "http:\n  path_parameters: { order: id }",
            "no route has the parameter `order`",
        ),
    ] {
        assert!(SMALL.contains(from));
        let got = error(&SMALL.replacen(from, to, 1));
        assert!(got.contains(want), "{to}: {got}");
    }
}

#[test]
fn an_unknown_key_is_an_error_with_its_line() {
    let got = error(&SMALL.replace("shop_columns", "shop_colums"));
    assert!(got.contains("shop_colums") && got.contains("13"), "{got}");
    assert!(matches!(
        Rules::parse("http: ["),
        Err(RulesError::Syntax(_))
    ));
}
