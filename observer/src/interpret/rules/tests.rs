use super::{Rules, RulesError};

/// The problems, each behind its place.
fn error(yaml: &str) -> String {
    match Rules::parse(yaml).unwrap_err() {
        RulesError::Syntax(error) => error.to_string(),
        RulesError::Invalid(problems) => {
            let lines = problems.iter().map(|problem| {
                let (line, column) = problem.location.unwrap();
                format!("{line}:{column}: {problem}")
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    }
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
            "8:17: http.services.shop.graphql[0]: the service has no route `/qurey`; did you mean `/query`?",
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
            "11:20: http.services.shop.shops[0].places[0]: the place needs a name",
        ),
        (
            "SELECT",
            "SELCT",
            "15:28: sql.statements.GetOrder.operation: `SELCT` is no operation; did you mean `SELECT`?",
        ),
        (
            "shop: 2",
            "shop: 0",
            "15:42: sql.statements.GetOrder: parameters are counted from 1",
        ),
        ("shop: 2", "pgx: 12", "48 hexadecimal digits were expected"),
        (
            "http:",
            "http:\n  path_parameters: { order: id }",
            "3:29: http.path_parameters.order: no route has the parameter `order`",
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

#[test]
fn the_documented_rules_are_valid() {
    let page = include_str!("../../../../docs/rules.md");
    let example = page.split("```yaml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let rules = Rules::parse(example).unwrap();
    assert_eq!(rules.http.services["office"].routes.len(), 3);
    assert!(Rules::parse("{}").is_ok(), "everything may be left out");
}
