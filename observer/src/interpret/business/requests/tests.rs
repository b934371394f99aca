//! What requests say becomes facts, and nothing that anybody made up becomes a label.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::super::why::Why;
use super::super::words::WORDS_OF_REQUESTS as WORDS;
use super::super::{Business, Context, Fate};
use super::{Answered, Said};
use crate::correlate::http::{Exchange, Request};
use crate::export::Symbols;
use crate::interpret::business::program::Program;
use crate::interpret::{Plan, Rules};
use crate::time::Timestamp;

const RULES: &str = r#"
http:
  path_parameters: { shop: id }
  services:
    tickets:
      routes: ["/{shop}/tickets/{number}", "/{shop}/sales", /plain]
business:
  entities:
    ticket:
      key: [number]
      fields: { number: text, gate: text }
    sale:
      key: []
      fields:
        shop: integer
        way: text
        tier: text
        channel: text
        amount: money
        size: integer
        took: duration
        outcome: text
        status: integer
        method: text
  requests:
    Sell:
      routes: ["/{shop}/sales"]
      methods: [POST]
      entity: sale
      does: create
      fields:
        shop: { from: shop }
        way: { from: body, name: payment.0.way }
        tier: { from: header, name: X-Tier }
        channel: { from: query, name: channel }
        amount: { from: answer, name: data.amount }
        size: { from: body, name: size }
        took: { from: duration }
        outcome: { from: outcome }
        status: { from: status }
        method: { from: method }
    Big:
      routes: ["/{shop}/sales"]
      statuses: [2xx]
      entity: sale
      does: create
      fields: { way: { from: body, name: payment.0.way }, size: { from: body, name: size } }
      constants: { channel: big }
      only: { size: { at_least: 10 }, way: [card, "gift voucher"] }
    Admit:
      routes: ["/{shop}/tickets/{number}"]
      methods: [PUT]
      statuses: ["200", "204"]
      entity: ticket
      does: change
      fields:
        number: { from: path, name: number }
        gate: { from: body, name: gate }
    Void:
      routes: ["/{shop}/tickets/{number}"]
      methods: [DELETE]
      entity: ticket
      does: delete
      fields: { number: { from: path, name: number } }
    Print:
      routes: ["/{shop}/tickets/{number}"]
      methods: [POST]
      entity: ticket
      does: create
      fields: { number: { from: path, name: number }, gate: { from: body, name: gate } }
  effects:
    - of: sale
      on: created
      metric: naytife_checkout_steps_total
      labels: { shop_id: shop, step: way, outcome: outcome }
    - of: sale
      on: created
      metric: naytife_orders_total
      labels: { shop_id: shop, status: tier }
    - of: sale
      on: created
      metric: naytife_stock_movements_total
      labels: { shop_id: status, type: channel }
    - of: sale
      on: created
      metric: naytife_deployments_total
      labels: { shop_id: shop, status: method }
    - of: sale
      on: created
      metric: naytife_revenue_total
      value: amount
      labels: { shop_id: shop, currency: { is: eur } }
    - of: sale
      on: created
      metric: naytife_payment_processing_duration_seconds
      value: took
      labels: { provider: way, status: outcome }
    - of: ticket
      on: { changed: gate }
      metric: naytife_payments_total
      labels: { shop_id: { is: "" }, provider: gate, status: { is: admitted } }
    - of: ticket
      on: deleted
      metric: naytife_payments_total
      labels: { shop_id: { is: "" }, provider: gate, status: { is: void } }
"#;

struct Office {
    plan: Arc<Plan>,
    business: Business,
    symbols: Symbols,
    sums: BTreeMap<String, f64>,
}

/// A request and its answer, in short.
#[derive(Clone, Copy)]
struct Asks<'a> {
    line: &'a str,
    tier: &'a str,
    body: &'a str,
    status: u16,
    answer: &'a str,
}

const SELLS: Asks<'_> = Asks {
    line: "POST /7/sales?channel=web",
    tier: "gold",
    body: r#"{"payment":[{"way":"card"}],"size":2}"#,
    status: 201,
    answer: r#"{"data":{"amount":19.99}}"#,
};

fn exchange(asks: Asks<'_>) -> Exchange {
    let (method, target) = asks.line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        body: asks.body.into(),
        ..Request::default()
    };
    if !asks.tier.is_empty() {
        request.headers.push(("x-tier".into(), asks.tier.into()));
    }
    Exchange {
        request,
        status: asks.status,
        began: Timestamp(1_000_000_000),
        waited: 0.0,
        ended: Timestamp(3_500_000_000),
        response_size: 1,
        response_body: asks.answer.into(),
    }
}

fn read(plan: &Plan, asks: Asks<'_>, errors: bool) -> Vec<Said> {
    let exchange = &exchange(asks);
    let route = plan.routes.find(&exchange.request.path).unwrap();
    let route = plan.routes.get(route).unwrap();
    plan.business.read(&Answered {
        exchange,
        route,
        errors,
    })
}

impl Office {
    fn new() -> Self {
        let plan = Plan::new(&Rules::parse(RULES).unwrap()).unwrap();
        Self {
            business: Business::new(Arc::clone(&plan.business), 100),
            plan,
            symbols: Symbols::new(10_000),
            sums: BTreeMap::new(),
        }
    }

    fn answered(&mut self, asks: Asks<'_>) {
        for said in read(&self.plan, asks, false) {
            self.publish(said);
        }
    }

    fn publish(&mut self, said: Said) {
        let mut facts = Vec::new();
        let out = &mut |fact| facts.push(fact);
        let mut context = Context::aside(&mut self.symbols, out);
        self.business.request(said, Some(7), &mut context);
        for fact in facts {
            let mut series = fact.metric.row().name.to_owned();
            for label in &fact.labels {
                write!(series, " {}", self.symbols.value(*label)).unwrap();
            }
            *self.sums.entry(series).or_default() += fact.value;
        }
    }

    fn see(&self, prefix: &str) -> Vec<(&str, f64)> {
        self.sums
            .iter()
            .filter_map(|(series, sum)| Some((series.strip_prefix(prefix)?, *sum)))
            .collect()
    }
}

const FACTS: &str = "observer_facts_total ";
const WAYS: &str = "naytife_checkout_steps_total 7 ";

#[test]
fn every_part_of_a_request_and_its_answer_may_be_a_field() {
    let mut office = Office::new();
    office.answered(SELLS);
    assert_eq!(
        office.see("naytife_"),
        [
            ("checkout_steps_total 7 card success", 1.0),
            ("deployments_total 7 post", 1.0),
            ("orders_total 7 gold", 1.0),
            ("payment_processing_duration_seconds card success", 2.5),
            // In ten-thousandths.
            ("revenue_total 7 eur", 199_900.0),
            ("stock_movements_total 201 web", 1.0),
        ]
    );
    assert_eq!(office.see(FACTS), [("Sell published", 1.0)]);
}

#[test]
fn what_a_request_does_not_say_is_unknown() {
    let mut office = Office::new();
    for body in [
        "",
        "{}",
        r#"{"payment":[{"way":null}]}"#,
        r#"{"payment":[{"way":"cut"#,
    ] {
        office.answered(Asks { body, ..SELLS });
    }
    let long = format!(r#"{{"payment":[{{"way":"{}"}}]}}"#, "a".repeat(65));
    office.answered(Asks {
        body: &long,
        tier: "",
        answer: "[]",
        ..SELLS
    });
    assert_eq!(office.see(WAYS), [("unknown success", 5.0)]);
    assert_eq!(
        office.see("naytife_orders_total 7 "),
        [("gold", 4.0), ("unknown", 1.0)]
    );
    assert_eq!(
        office.see("naytife_revenue_total"),
        [(" 7 eur", 4.0 * 199_900.0)]
    );
}

#[test]
fn a_negative_amount_is_added_to_nothing() {
    let mut office = Office::new();
    office.answered(Asks {
        answer: r#"{"data":{"amount":-19.99}}"#,
        ..SELLS
    });
    assert_eq!(office.see("naytife_"), []);
    assert_eq!(office.see(FACTS), [("Sell unknown", 1.0)]);
}

#[test]
fn a_failure_is_a_status_from_400_on_or_a_graphql_answer_with_errors() {
    let mut office = Office::new();
    for (status, errors) in [
        (200, false),
        (302, false),
        (402, false),
        (500, false),
        (200, true),
    ] {
        let asks = Asks { status, ..SELLS };
        for said in read(&office.plan, asks, errors) {
            office.publish(said);
        }
    }
    assert_eq!(
        office.see(WAYS),
        [("card failure", 3.0), ("card success", 2.0)]
    );
}

#[test]
fn what_does_not_look_like_a_word_is_no_label() {
    let mut office = Office::new();
    for way in [
        "jo@example.com",
        "4242424242424242",
        "+4915112345678",
        "10.0.0.1",
        "two words",
        "caf\u{e9}",
        r"caf\u00e9",
        "",
        "<script>",
    ] {
        let body = format!(r#"{{"payment":[{{"way":"{way}"}}]}}"#);
        office.answered(Asks {
            body: &body,
            ..SELLS
        });
    }
    assert_eq!(office.see(WAYS), [("_other success", 9.0)]);
    office.answered(Asks {
        body: r#"{"payment":[{"way":"Pay_on-delivery.2"}]}"#,
        ..SELLS
    });
    assert_eq!(
        office.see("naytife_checkout_steps_total 7 pay"),
        [("_on-delivery.2 success", 1.0)]
    );
}

#[test]
fn a_new_word_is_learnt_only_from_an_answer_of_success() {
    let mut office = Office::new();
    let asks = |way: &str| format!(r#"{{"payment":[{{"way":"{way}"}}]}}"#);
    let (cash, card) = (asks("cash"), asks("CARD"));
    for (body, status) in [
        (&cash, 400),
        (&cash, 404),
        (&cash, 402),
        (&cash, 500),
        // A rule names it.
        (&card, 400),
        (&cash, 201),
        (&cash, 400),
    ] {
        office.answered(Asks {
            body,
            status,
            ..SELLS
        });
    }
    assert_eq!(
        office.see(WAYS),
        [
            ("_other failure", 4.0),
            ("card failure", 1.0),
            ("cash failure", 1.0),
            ("cash success", 1.0)
        ]
    );
}

#[test]
fn words_are_learnt_in_a_bounded_number() {
    let mut office = Office::new();
    // `gold` and `web` are two of them.
    for number in 0..2 * WORDS {
        let body = format!(r#"{{"payment":[{{"way":"w{number}"}}]}}"#);
        office.answered(Asks {
            body: &body,
            ..SELLS
        });
    }
    assert_eq!(office.see(WAYS).len(), WORDS - 2 + 1);
    let other = office.see(&format!("{WAYS}_other success"));
    let [("", count)] = other.as_slice() else {
        panic!("{other:?}")
    };
    assert_eq!(count.to_string(), (WORDS + 2).to_string());
}

#[test]
fn a_condition_is_held_against_what_was_said_and_not_against_its_label() {
    let mut office = Office::new();
    for (way, size) in [
        ("card", "12"),
        ("Gift Voucher", "10"),
        ("card", "9"),
        ("cash", "12"),
    ] {
        let body = format!(r#"{{"payment":[{{"way":"{way}"}}],"size":{size}}}"#);
        let asks = Asks {
            line: "PUT /7/sales",
            body: &body,
            ..SELLS
        };
        office.answered(asks);
        office.answered(Asks {
            status: 500,
            ..asks
        });
    }
    assert_eq!(office.see(FACTS), [("Big published", 2.0)]);
    office.answered(Asks {
        line: "PUT /7/sales",
        body: r#"{"size":12}"#,
        ..SELLS
    });
    assert_eq!(
        office.see(FACTS),
        [("Big published", 2.0), ("Big unknown", 1.0)],
        "whether the condition holds is hidden"
    );
}

#[test]
fn a_request_makes_changes_and_ends_what_it_names() {
    let mut office = Office::new();
    let gate = |line, gate| Asks {
        line,
        body: gate,
        status: 200,
        ..SELLS
    };
    office.answered(gate("POST /7/tickets/A-1", r#"{"gate":"north"}"#));
    office.answered(gate("PUT /7/tickets/A-1", r#"{"gate":"south"}"#));
    office.answered(gate("PUT /7/tickets/A-1", r#"{"gate":"south"}"#));
    office.answered(gate("GET /7/tickets/A-1", r#"{"gate":"west"}"#));
    office.answered(Asks {
        status: 409,
        ..gate("PUT /7/tickets/A-1", r#"{"gate":"west"}"#)
    });
    office.answered(gate("PUT /7/tickets/jo@example.com", r#"{"gate":"south"}"#));
    office.answered(gate("DELETE /7/tickets/A-1", ""));
    office.answered(gate("DELETE /7/tickets/A-1", ""));
    assert_eq!(
        office.see("naytife_payments_total  "),
        [("south admitted", 1.0), ("south void", 1.0)]
    );
    assert_eq!(
        office.see(FACTS),
        [
            ("Admit published", 1.0),
            ("Admit repeated", 1.0),
            ("Admit unknown", 1.0),
            ("Print published", 1.0),
            ("Void published", 1.0),
            ("Void repeated", 1.0),
        ]
    );
}

#[test]
fn what_is_discarded_counts_as_such_where_its_conditions_may_hold() {
    let mut office = Office::new();
    // The condition of the other rule does not hold.
    let said = read(&office.plan, SELLS, false);
    assert_eq!(said.len(), 2);
    let mut facts = 0;
    let out = &mut |_| facts += 1;
    office.business.discard(
        &said,
        Fate::Unknown,
        &Why::OtherRules,
        &mut Context::aside(&mut office.symbols, out),
    );
    assert_eq!(facts, 1);
}

#[test]
fn only_what_makes_a_difference_to_a_field_matters() {
    let plan = Plan::new(&Rules::parse(RULES).unwrap()).unwrap();
    let told = |program: &Program, path: &str, method: &str| {
        let route = plan.routes.get(plan.routes.find(path).unwrap()).unwrap();
        program.told(route, method)
    };
    for (path, method, name, value, matters) in [
        ("/7/sales", "POST", "size", "12", true),
        ("/7/sales", "POST", "size", "a dozen", false),
        ("/7/sales", "POST", "X-Tier", "gold", true),
        ("/7/sales", "POST", "X-Tier", "jo@example.com", false),
        ("/7/sales", "POST", "X-Tier", "0151123", false),
        ("/7/sales", "POST", "way", "gift voucher", true),
        ("/7/tickets/1", "PUT", "number", "0151-123", true),
        ("/7/tickets/1", "PUT", "number", "jo@example.com", false),
    ] {
        let told = told(&plan.business, path, method);
        let field = told
            .iter()
            .find(|told| format!("{:?}", told.source).contains(name));
        assert_eq!(
            field.unwrap().matters(value.as_bytes()),
            matters,
            "{name} {value}"
        );
    }
    assert_eq!(told(&plan.business, "/7/tickets/1", "GET"), []);
}
