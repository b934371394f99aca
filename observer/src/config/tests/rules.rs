//! Whatever is wrong with the rules of a business is one sentence with its place.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const BUSINESS: &str = r#"
http:
  services:
    office:
      routes: ["/events/{event}/tickets", /pay]
sql:
  statements:
    SellTicket: { operation: INSERT }
    RefundTicket: { operation: UPDATE }
business:
  money_scale: 2
  entities:
    ticket:
      key: [event, ticket]
      fields: { event: integer, ticket: integer, state: text, price: money, seat: integer }
    event:
      key: [event]
      fields: { event: integer, currency: text, holder: uuid }
    payment:
      key: []
      fields: { provider: text, took: duration, outcome: text }
  statements:
    SellTicket:
      entity: ticket
      does: create
      tag: INSERT
      columns: { event: event_id, ticket: ticket_id, state: state }
    RefundTicket:
      entity: ticket
      does: change
      parameters: { event: 1, ticket: 2 }
      constants: { state: refunded }
      only: { seat: { at_least: 1 } }
      equal: [event, ticket]
  requests:
    Pay:
      routes: [/pay]
      methods: [POST]
      statuses: [2xx]
      entity: payment
      does: create
      fields:
        provider: { from: body, name: provider }
        took: { from: duration }
      only: { outcome: [success] }
  effects:
    - of: ticket
      on: created
      metric: naytife_orders_total
      labels: { shop_id: event, status: state }
    - of: ticket
      on: { changed: state }
      to: [refunded]
      metric: naytife_revenue_refunded_total
      value: price
      labels: { shop_id: event, currency: event.currency }
    - { of: event, on: remembered, metric: naytife_shops, labels: { status: currency } }
"#;

/// What is wrong with the rules once this stands there rather than that.
fn problems(from: &str, to: &str) -> String {
    static FILES: AtomicU32 = AtomicU32::new(0);
    assert!(BUSINESS.contains(from), "{from}");
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("observer-business-{}-{number}.yaml", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, BUSINESS.replacen(from, to, 1)).unwrap();
    let problems = file::rules(&path).map(drop);
    std::fs::remove_file(&path).unwrap();
    let told = problems.map_or_else(|problems| problems.to_string(), |()| String::new());
    told.replace(&format!("{}:", path.display()), "")
}

/// What stands there, what is put in its place, and what is said of it.
type Case = (&'static str, &'static str, &'static str);

const NAMES: &[Case] = &[
    (
        "money_scale: 2",
        "money_scale: 3",
        "11:16: business.money_scale: it is 0, 1 or 2",
    ),
    (
        "key: [event, ticket]",
        "key: [event, tiket]",
        "14:20: business.entities.ticket.key: the entity has no field `tiket`; did you mean `ticket`?",
    ),
    (
        "entity: ticket\n      does: create",
        "entity: tickets\n      does: create",
        "24:15: business.statements.SellTicket.entity: there is no entity `tickets`; did you mean `ticket`?",
    ),
    (
        "tag: INSERT",
        "tag: INSRT",
        "26:12: business.statements.SellTicket.tag: no statement ends with the tag `INSRT`; did you mean `INSERT`?",
    ),
    (
        "state: state }",
        "statu: state }",
        "27:61: business.statements.SellTicket.columns.statu: the entity has no field `statu`; did you mean `state`?",
    ),
    (
        "ticket: ticket_id, ",
        "",
        "24:7: business.statements.SellTicket: it does not say where the key's field `ticket` is",
    ),
    (
        "    SellTicket:\n",
        "    SelTicket:\n",
        "24:7: business.statements.SelTicket: there is no statement `SelTicket` in sql.statements; did you mean `SellTicket`?",
    ),
    (
        "tag: INSERT",
        "query: SelTicket",
        "26:14: business.statements.SellTicket.query: there is no statement `SelTicket` in sql.statements; did you mean `SellTicket`?",
    ),
    (
        "tag: INSERT",
        "transaction: failed",
        "24:7: business.statements.SellTicket: what fails returns no row; its parameters tell",
    ),
    (
        "does: create\n      tag: INSERT",
        "does: show\n      transaction: completed",
        "24:7: business.statements.SellTicket: what only shows something waits for its transaction",
    ),
    (
        "event: 1,",
        "event: 0,",
        "31:28: business.statements.RefundTicket.parameters.event: parameters are counted from 1",
    ),
    (
        "ticket: 2 }",
        "ticket: 2, sate: 3 }",
        "31:48: business.statements.RefundTicket.parameters.sate: the entity has no field `sate`; did you mean `state`?",
    ),
    (
        "tag: INSERT",
        "parameters: { state: 1 }",
        "26:28: business.statements.SellTicket.parameters.state: a column tells `state` already",
    ),
    (
        "{ state: refunded }",
        "{ seat: refunded }",
        "32:26: business.statements.RefundTicket.constants.seat: `seat` is no text, so no constant",
    ),
    (
        "seat: { at_least: 1 }",
        "state: { at_least: 1 }",
        "33:22: business.statements.RefundTicket.only.state: `state`: a text is one of a list, \
             an integer lies `at_least` or `at_most`",
    ),
    (
        "seat: { at_least: 1 }",
        "sead: { at_least: 1 }",
        "33:21: business.statements.RefundTicket.only.sead: the entity has no field `sead`; did you mean `seat`?",
    ),
    (
        "equal: [event, ticket]",
        "equal: [event, tickt]",
        "34:22: business.statements.RefundTicket.equal: the entity has no field `tickt`; did you mean `ticket`?",
    ),
    (
        "    Pay:\n",
        "    SellTicket:\n",
        "37:7: business.requests.SellTicket: a statement is called `SellTicket` too",
    ),
    (
        "[/pay]\n",
        "[/payy]\n",
        "37:16: business.requests.Pay.routes[0]: no service has the route `/payy`; did you mean `/pay`?",
    ),
    (
        "[POST]",
        "[PSOT]",
        "38:17: business.requests.Pay.methods: `PSOT` is no method; did you mean `POST`?",
    ),
    (
        "[2xx]",
        "[2xx, 2x]",
        "39:23: business.requests.Pay.statuses: `404` or `4xx` was expected",
    ),
    (
        "body, name: provider }",
        "body }",
        "43:19: business.requests.Pay.fields.provider: path, query, header, body and answer need a name",
    ),
    (
        "from: body, name",
        "from: header, nme",
        "43:35: unknown key \"nme\"; did you mean \"name\"?",
    ),
    (
        "{ from: duration }",
        "{ from: duration, name: x }",
        "44:15: business.requests.Pay.fields.took: only path, query, header, body and answer have names",
    ),
    (
        "took: { from: duration }",
        "outcome: { from: duration }",
        "44:18: business.requests.Pay.fields.outcome: a duration, and nothing else, is of type `duration`",
    ),
    (
        "state: text, price",
        "state: duration, price",
        "27:61: business.statements.SellTicket.columns.state: a duration is that of a request; no row has one",
    ),
    (
        "entity: payment\n      does: create",
        "entity: payment\n      does: change",
        "37:7: business.requests.Pay: the entity has no key, so it is an event: `create` it rather than `change`",
    ),
    (
        "of: ticket\n      on: created",
        "of: tickt\n      on: created",
        "47:11: business.effects[0].of: there is no entity `tickt`; did you mean `ticket`?",
    ),
    (
        "naytife_orders_total",
        "naytife_order_total",
        "49:15: business.effects[0].metric: there is no metric `naytife_order_total`; \
             did you mean `naytife_orders_total`?",
    ),
    (
        "status: state }\n    - of",
        "state: state }\n    - of",
        "50:40: business.effects[0].labels.state: the metric has no label `state`; did you mean `status`?",
    ),
    (
        ", status: state }\n    - of",
        " }\n    - of",
        "47:7: business.effects[0]: the metric's label `status` is left out",
    ),
    (
        "shop_id: event, status",
        "shop_id: evnt, status",
        "50:26: business.effects[0].labels.shop_id: the entity has no field `evnt`; did you mean `event`?",
    ),
    (
        "shop_id: event, status",
        "shop_id: price, status",
        "50:26: business.effects[0].labels.shop_id: a label is a text or an integer",
    ),
    (
        "event.currency",
        "evnt.currency",
        "56:43: business.effects[1].labels.currency: there is no entity `evnt`; did you mean `event`?",
    ),
    (
        "event.currency",
        "event.curency",
        "56:43: business.effects[1].labels.currency: the entity has no field `curency`; did you mean `currency`?",
    ),
    (
        "changed: state",
        "changed: stae",
        "51:7: business.effects[1]: the entity has no field `stae`; did you mean `state`?",
    ),
    (
        "changed: state",
        "changed: seat",
        "51:7: business.effects[1]: `from` and `to` are texts, and `seat` is none",
    ),
    (
        "changed: state",
        "changed: event",
        "51:7: business.effects[1]: `event` is of the key, so it never changes",
    ),
    (
        "on: created\n",
        "on: created\n      to: [sold]\n",
        "47:7: business.effects[0]: `from` and `to` are those of a change",
    ),
    (
        "on: created\n",
        "on: remembered\n",
        "47:7: business.effects[0]: a gauge sums over what is remembered, and nothing else does",
    ),
    (
        "on: created\n",
        "on: created\n      lowest: 5\n",
        "47:7: business.effects[0]: `lowest` is for gauges",
    ),
    (
        "on: created\n",
        "on: created\n      only: { sate: [sold] }\n",
        "49:21: business.effects[0].only.sate: the entity has no field `sate`; did you mean `state`?",
    ),
    (
        "value: price",
        "value: seat",
        "54:15: business.effects[1].value: money, and only money, is added to a metric of money",
    ),
    (
        "value: price",
        "value: prize",
        "55:14: business.effects[1].value: the entity has no field `prize`; did you mean `price`?",
    ),
    (
        "metric: naytife_orders_total",
        "value: state\n      metric: naytife_orders_total",
        "50:15: business.effects[0].value: a value is an integer, money, a duration or `age`",
    ),
    (
        "{ of: event, on: remembered",
        "{ of: payment, on: remembered",
        "57:7: business.effects[2]: nothing is remembered of an entity without a key",
    ),
    (
        "{ of: event, on: remembered, metric: naytife_shops, labels: { status: currency } }",
        "{ of: payment, on: deleted, metric: naytife_stock_movements_total, \
              labels: { shop_id: provider, type: provider } }",
        "57:7: business.effects[2]: the entity has no key, so it is an event: it is only ever created",
    ),
    (
        "status: currency }",
        "status: ticket.state }",
        "57:77: business.effects[2].labels.status: the entity has no field `ticket`",
    ),
];

/// What is no value at all where it stands: it ends the reading.
const SHAPES: &[Case] = &[
    (
        "does: create\n      tag",
        "does: creat\n      tag",
        "25:13: unknown value \"creat\"; did you mean \"create\"?",
    ),
    (
        "seat: integer }",
        "seat: intger }",
        "15:83: unknown value \"intger\"; did you mean \"integer\"?",
    ),
    (
        "tag: INSERT",
        "transaction: commited",
        "26:20: unknown value \"commited\"; did you mean \"committed\"?",
    ),
    (
        "from: body",
        "from: bdy",
        "43:27: unknown value \"bdy\"; did you mean \"body\"?",
    ),
    (
        "{ changed: state }",
        "{ chnged: state }",
        "52:13: unknown value \"chnged\"; did you mean \"changed\"?",
    ),
    (
        "tag: INSERT",
        "colums: {}",
        "26:7: unknown key \"colums\"; did you mean \"columns\"?",
    ),
    (
        "{ at_least: 1 }",
        "{ at_lest: 1 }",
        "33:21: a list of texts was expected, or `at_least` and `at_most`",
    ),
    (
        "status: state }\n    - of",
        "status: { was: x } }\n    - of",
        "50:41: a field was expected, `entity.field`, or `is` and a word",
    ),
    ("ticket: 2 }", "ticket: two }", "31:39: "),
    (
        "equal: [event, ticket]",
        "equal: [event]",
        "34:7: invalid length 1, expected an array of length 2",
    ),
];

/// Cases of which nothing so is said.
fn silent(cases: &[Case]) -> Vec<String> {
    let told = cases
        .iter()
        .map(|(from, to, want)| (want, to, problems(from, to)));
    let silent = told.filter(|(want, _, told)| !told.lines().any(|line| line.starts_with(*want)));
    silent
        .map(|(want, to, told)| format!("{to}:\n{told}\n{want}\n"))
        .collect()
}

#[test]
fn every_wrong_name_and_every_mismatch_has_a_place_and_where_there_is_one_a_suggestion() {
    assert_eq!(problems("seat", "seat"), "", "nothing is wrong yet");
    let silent = silent(NAMES);
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn what_has_another_shape_is_told_at_its_place_too() {
    let silent = silent(SHAPES);
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}
