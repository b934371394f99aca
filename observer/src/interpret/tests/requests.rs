//! Payments and the steps of a checkout, by the platform's rules.

use super::*;
use crate::correlate::postgres::Transaction;
use crate::interpret::sql::text::read;

/// A request with a JSON body.
fn post(path: &str, body: &str) -> Request {
    Request {
        method: "POST".into(),
        path: path.into(),
        body: body.into(),
        ..Request::default()
    }
}

/// The statement by which handlers read an order, and its row.
fn get_order(shop: i64, order: i64, provider: &str) -> Execution {
    const GET_ORDER: &str =
        "-- name: GetOrder :one\nSELECT * FROM orders WHERE order_id = $1 AND shop_id = $2";
    let plan = Plan::new(&Rules::naytife().unwrap()).unwrap();
    let facts = read(GET_ORDER, plan.columns());
    let wanted = Arc::clone(&plan.reads_of(&facts, Some("GetOrder")).wanted);
    let row = [
        ("shop_id", int8(shop)),
        ("order_id", int8(order)),
        ("payment_method", text(provider)),
    ];
    let cells = row.map(|(name, value)| {
        let place = wanted.columns.iter().position(|column| column == name);
        cell(u16::try_from(place.unwrap()).unwrap(), value)
    });
    Execution {
        columns: cells.into(),
        wanted: Some(wanted),
        ..execution(GET_ORDER, "SELECT", 1)
    }
}

impl Story {
    /// Runs a statement in a transaction of its own, on the client's connection 2.
    fn does(&mut self, ended: u64, execution: Execution) {
        self.sql(2, ended, execution);
        self.at(2, ended, Body::SqlTransaction(Transaction::Commit));
    }

    fn prove(&mut self, ended: u64, shop: i64) {
        let row = Execution {
            columns: vec![cell(0, int8(shop))],
            ..execution(GET_SHOP, "SELECT", 1)
        };
        self.does(ended, row);
    }

    fn serving() -> Self {
        let mut story = Self::new(&Settings::default());
        story.connect(1, 1, Side::Server);
        story.connect(2, 1, Side::Client);
        story
    }

    /// A request that is answered with 200 after a while.
    fn lasts(&mut self, key: u64, [began, ended]: [u64; 2], request: Request) {
        let exchange = http::Exchange {
            request,
            status: 200,
            began: Timestamp(began),
            waited: 0.0,
            ended: Timestamp(ended),
            response_size: 50,
            response_body: Vec::new(),
        };
        self.at(key, ended, Body::Http(Box::new(exchange)));
    }

    /// Series that begin so, and how often they were observed.
    fn counts(&self, prefix: &str) -> Vec<(&str, u32)> {
        let seen = self.see(prefix);
        seen.into_iter()
            .map(|(labels, _, count)| (labels, count))
            .collect()
    }
}

const DURATIONS: &str = "payment_processing_duration_seconds";
const STEPS: &str = "checkout_steps_total";

#[test]
fn a_payment_is_timed_by_its_provider_and_outcome_whichever_way_it_names_the_provider() {
    let mut story = Story::serving();
    story.prove(1, 7);
    for (path, status, body) in [
        ("/v1/shops/7/payment", 200, r#"{"payment_method":"stripe"}"#),
        ("/v1/shops/7/payment", 402, r#"{"payment_method":"paypal"}"#),
        (
            "/v1/shops/7/payment/intent",
            200,
            r#"{"payment_method":"paystack"}"#,
        ),
        (
            "/v1/payments/checkout",
            200,
            r#"{"shop_id":7,"payment_method_type":"pay_on_delivery"}"#,
        ),
        (
            "/v1/payments/checkout",
            400,
            r#"{"shop_id":7,"payment_method_type":"sk_live_51Jx"}"#,
        ),
        ("/v1/payments/checkout", 400, r#"{"shop_id":7}"#),
        ("/v1/webhooks/flutterwave/7", 200, "{"),
        ("/v1/webhooks/stripe/8", 404, "{}"),
    ] {
        story.request(1, 10, status, post(path, body), b"");
    }
    story.settle(10);
    assert_eq!(
        story.counts(DURATIONS),
        [
            ("{_other,failure}", 1),
            ("{flutterwave,success}", 1),
            ("{pay_on_delivery,success}", 1),
            ("{paypal,failure}", 1),
            ("{paystack,success}", 1),
            ("{stripe,failure}", 1),
            ("{stripe,success}", 1),
            ("{unknown,failure}", 1),
        ]
    );
    assert_eq!(
        story.counts(STEPS),
        [
            ("{7,intent,success}", 1),
            ("{7,payment,failure}", 3),
            ("{7,payment,success}", 2),
        ]
    );
}

#[test]
fn a_confirmation_has_the_provider_of_its_order_also_where_the_order_is_told_late() {
    let mut story = Story::serving();
    story.prove(1, 7);
    let confirm = post(
        "/v1/payments/7/confirm",
        r#"{"payment_intent_id":"pi_1","order_id":41}"#,
    );
    story.request(1, 10, 402, confirm, b"");
    story.does(9, get_order(7, 41, "paystack"));
    let unknown = post("/v1/payments/7/confirm", r#"{"order_id":42}"#);
    story.request(1, 11, 400, unknown, b"");
    story.settle(11);
    assert_eq!(
        story.counts(DURATIONS),
        [("{paystack,failure}", 1), ("{unknown,failure}", 1)]
    );
    assert_eq!(story.counts(STEPS), [("{7,confirm,failure}", 2)]);
}

#[test]
fn a_step_has_the_shop_that_its_request_has() {
    let mut story = Story::serving();
    let checkout = |shop: &str| post(&format!("/v1/shops/{shop}/checkout"), "{}");
    for shop in ["7", "8", "abc", "99999999999999999999"] {
        story.request(1, 10, 200, checkout(shop), b"");
    }
    assert_eq!(story.counts(STEPS), [], "nothing is proven yet");
    story.prove(9, 7);
    story.prove(11, 8);
    story.settle(11);
    assert_eq!(
        story.counts(STEPS),
        [
            ("{7,checkout,success}", 1),
            ("{unknown,checkout,success}", 3)
        ]
    );
    let requests = story.durations();
    assert_eq!(
        requests,
        [
            ("{POST,/v1/shops/{shop_id}/checkout,200,7,s1}", 1),
            ("{POST,/v1/shops/{shop_id}/checkout,200,unknown,s1}", 3)
        ]
    );
}

#[test]
fn the_clients_end_and_other_methods_are_no_step() {
    let mut story = Story::serving();
    story.prove(1, 7);
    story.request(2, 10, 200, post("/v1/shops/7/checkout", "{}"), b"");
    story.http(1, 10, "GET", "/v1/shops/7/checkout", 405);
    story.settle(10);
    assert_eq!(story.counts(STEPS), []);
}

#[test]
fn a_request_that_a_gateway_passes_on_counts_where_it_ends() {
    let mut story = Story::serving();
    story.connect(3, 9, Side::Server);
    story.join(4, 9, Side::Client, Some(1), false);
    story.prove(1, 7);
    let checkout = || post("/v1/shops/7/checkout", "{}");
    story.lasts(1, [12, 15], checkout());
    story.lasts(4, [11, 16], checkout());
    story.lasts(3, [10, 17], checkout());
    story.settle(17);
    assert_eq!(story.counts(STEPS), [("{7,checkout,success}", 1)]);
    assert_eq!(
        story.counts("observer_facts_total"),
        [
            ("{CheckoutStep,published}", 1),
            ("{CheckoutStep,repeated}", 1)
        ]
    );
}

#[test]
fn a_request_that_waits_while_the_business_changes_is_an_unknown_fact() {
    let mut story = Story::serving();
    story.request(1, 10, 200, post("/v1/shops/7/checkout", "{}"), b"");
    let mut rules = Rules::naytife().unwrap();
    story.replace(&rules);
    assert_eq!(
        story.counts("observer_facts_total"),
        [],
        "they are the same"
    );
    rules.business.effects.clear();
    story.replace(&rules);
    story.settle(10);
    assert_eq!(
        story.counts("observer_facts_total"),
        [("{CheckoutStep,unknown}", 1)]
    );
    assert_eq!(story.durations().len(), 1);
}
