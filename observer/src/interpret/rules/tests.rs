use std::collections::BTreeSet;

use super::{Rules, RulesError};
use crate::interpret::Plan;
use crate::interpret::sql::{self, text};

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

const REQUEST: &str = "
http:
  services:
    shop:
      routes: ['/pay/{way}']
business:
  entities:
    payment:
      key: []
      fields: { way: text, amount: integer, at: time, took: duration }
  requests:
    Pay:
      routes: ['/pay/{way}']
      entity: payment
      does: create
      fields:
        way: { from: path, name: way }
        took: { from: duration }
  effects:
    - of: payment
      on: created
      metric: naytife_payment_processing_duration_seconds
      value: took
      labels: { provider: way, status: { is: asked } }
";

#[test]
fn a_secret_or_somebody_is_read_from_no_part_of_a_request() {
    let field = "way: { from: path, name: way }";
    for part in ["body", "answer", "query", "header"] {
        for name in [
            "client_secret",
            "clientSecret",
            "data.card.last4",
            "customer.0.email",
            "customer.phone",
            "shipping_address",
            "accessToken",
            "apiKey",
            "payment.cvv",
            "Authorization",
            "PASSWORD",
        ] {
            let other = format!("way: {{ from: {part}, name: {name} }}");
            let problem = Rules::parse(&REQUEST.replace(field, &other)).unwrap_err();
            let want =
                format!("`{name}` may be a secret or say who somebody is, and rules read neither");
            assert!(problem.to_string().contains(&want), "{part}: {problem}");
        }
        for name in [
            "payment_method",
            "monkey",
            "data.object.status",
            "discarded",
        ] {
            let other = format!("way: {{ from: {part}, name: {name} }}");
            Rules::parse(&REQUEST.replace(field, &other)).unwrap();
        }
    }
    let route = REQUEST
        .replace("{way}", "{token}")
        .replace("name: way", "name: token");
    assert_ne!(route, REQUEST);
    let problem = Rules::parse(&route).unwrap_err();
    assert!(
        problem.to_string().contains("`token` may be a secret"),
        "{problem}"
    );
}

#[test]
fn a_request_is_asked_for_what_it_has_and_for_no_secret() {
    Rules::parse(REQUEST).unwrap();
    let field = "way: { from: path, name: way }";
    for (from, to, want) in [
        (
            field,
            "way: { from: path, name: wey }",
            "17:14: business.requests.Pay.fields.way: the route `/pay/{way}` has no parameter `wey`; did you mean `way`?",
        ),
        (
            field,
            "way: { from: header, name: X-Api-Key }",
            "17:14: business.requests.Pay.fields.way: `X-Api-Key` may be a secret or say who somebody is, and rules read neither",
        ),
        (
            field,
            "way: { from: header, name: Stripe-Signature }",
            "`Stripe-Signature` may be a secret",
        ),
        (
            field,
            "way: { from: header, name: PAYPAL-TRANSMISSION-SIG }",
            "`PAYPAL-TRANSMISSION-SIG` may be a secret",
        ),
        (
            field,
            "way: { from: header, name: authorization }",
            "`authorization` may be a secret",
        ),
        (
            field,
            "way: { from: query, name: access_token }",
            "`access_token` may be a secret",
        ),
        (
            field,
            "way: { from: status }",
            "a shop and a status are integers",
        ),
        (
            field,
            "amount: { from: outcome }",
            "an outcome and a method are texts",
        ),
        (
            field,
            "at: { from: body, name: at }",
            "moments are told by rows, not by requests",
        ),
        ("{ provider: way,", "{ provider: amount,", ""),
        (
            "way: text,",
            "way: integer,",
            "24:27: business.effects[0].labels.provider: requests tell `way`: there is no end of its values, so it is no label",
        ),
        (
            "key: []",
            "key: [way]",
            "business.effects[0].labels.provider: requests tell `way`: there is no end of its values",
        ),
    ] {
        assert!(REQUEST.contains(from));
        let changed = REQUEST.replacen(from, to, 1);
        if want.is_empty() {
            Rules::parse(&changed).unwrap();
            continue;
        }
        let got = error(&changed);
        assert!(got.contains(want), "{to}: {got}");
    }
    let mut many = REQUEST.to_owned();
    for n in 0..9 {
        let header =
            format!("took: {{ from: duration }}\n        f{n}: {{ from: header, name: X-{n} }}");
        many = many.replace("took: { from: duration }", &header);
        many = many.replace("{ way: text,", &format!("{{ f{n}: text, way: text,"));
    }
    assert!(error(&many).contains("business.requests.Pay: it reads more than 8 headers"));
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

const PAGE: &str = include_str!("../../../../docs/rules.md");

/// The whole file that the page shows.
fn documented() -> &'static str {
    let blocks = PAGE.split("```yaml\n").skip(1);
    let mut blocks = blocks.filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.starts_with("http:")).unwrap()
}

#[test]
fn the_documented_rules_are_ready_for_use() {
    let rules = Rules::parse(documented()).unwrap();
    Plan::new(&rules).unwrap();
    assert_eq!(rules.http.services["office"].routes.len(), 3);
    let effects = rules.business.effects.iter();
    let metrics: BTreeSet<&str> = effects
        .map(|effect| effect.value.metric.value.as_str())
        .collect();
    assert_eq!(
        metrics.into_iter().collect::<Vec<_>>(),
        [
            "naytife_checkout_steps_total",
            "naytife_orders_total",
            "naytife_payments_total",
            "naytife_revenue_refunded_total",
            "naytife_revenue_total",
            "naytife_shops",
        ]
    );
    assert!(Rules::parse("{}").is_ok(), "everything may be left out");
}

#[test]
fn a_documented_fingerprint_is_that_of_the_text_above_it() {
    let texts = documented().lines();
    let texts = texts.filter_map(|line| line.trim().strip_prefix("# UPDATE "));
    let texts: Vec<_> = texts.map(|text| format!("UPDATE {text}")).collect();
    assert_eq!(texts.len(), 2);
    let rules = Rules::parse(documented()).unwrap();
    let plan = Plan::new(&rules).unwrap();
    for text in &texts {
        let facts = text::read(text, plan.columns());
        let query = format!("query: {}", sql::fingerprint(&facts.statements[0]));
        assert!(documented().contains(&query), "{query}");
        let reads = plan.reads_of(&facts, None);
        assert_eq!(reads.business.len(), 1, "{text}");
    }
}

#[test]
fn every_rule_built_in_is_on_the_page() {
    let rules = Rules::naytife().unwrap();
    let business = &rules.business;
    for name in business.statements.keys().chain(business.requests.keys()) {
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
}
