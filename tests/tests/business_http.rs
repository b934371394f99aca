//! Payments, the steps of a checkout and orphaned orders, as they were asked of a real shop.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::nginx::Nginx;
use observer_tests::process::Place;
use observer_tests::scrape::Scrape;
use observer_tests::shop::Shop;
use serde_json::{Value, json};

/// Somebody who asks the shop.
struct Customer {
    client: ureq::Agent,
    address: SocketAddr,
}

impl Customer {
    fn of(address: SocketAddr) -> Self {
        let client = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        Self { client, address }
    }

    /// The status of the answer, and its body.
    fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let request = self.client.post(format!("http://{}{path}", self.address));
        let mut answer = request
            .header("x-shop-subdomain", "shop2")
            .content_type("application/json")
            .send(body.to_string())?;
        let text = answer.body_mut().read_to_string()?;
        Ok((answer.status().as_u16(), serde_json::from_str(&text)?))
    }

    /// Asks, and is answered so.
    fn expects(&self, status: u16, path: &str, body: &Value) -> Result<Value> {
        let (got, answer) = self.post(path, body)?;
        ensure!(got == status, "{path} {body}: {got} {answer}");
        Ok(answer)
    }
}

/// An order of one item; there are a hundred variations.
fn order(variation: u32) -> Value {
    json!({
        "customer_name": "Jo Customer",
        "shipping_address": "1 Long Street",
        "shipping_method": "courier",
        "payment_method": "paystack",
        "items": [{ "product_variation_id": variation.to_string(), "quantity": 1, "price": "19.99" }],
    })
}

fn durations_are(scrape: &Scrape, wanted: &[(&str, &str, u64)]) -> Result<()> {
    let durations = || scrape.select("naytife_payment_processing_duration_seconds_count");
    for (provider, status, count) in wanted {
        let of = durations()
            .with("provider", provider)
            .with("status", status);
        of.is(*count)
            .with_context(|| format!("{provider} {status}"))?;
    }
    durations().is(wanted.iter().map(|(_, _, count)| count).sum())
}

fn steps_are(scrape: &Scrape, wanted: &[(&str, &str, &str, u64)]) -> Result<()> {
    let steps = || scrape.select("naytife_checkout_steps_total");
    for (shop, step, outcome, count) in wanted {
        let of = steps().with("shop_id", shop).with("step", step);
        of.with("outcome", outcome)
            .is(*count)
            .with_context(|| format!("{shop} {step} {outcome}"))?;
    }
    steps().is(wanted.iter().map(|(_, _, _, count)| count).sum())
}

#[test]
fn payments_and_steps_are_those_that_were_asked_for() -> Result<()> {
    let shop = Shop::start()?;
    let agent = Agent::observe(&[&shop.cgroup])?;
    let customer = Customer::of(shop.app.address());
    let mut orders = Vec::new();
    for number in [1_u64, 3] {
        let made = customer.expects(
            201,
            &format!("/v1/shops/{number}/orders"),
            &order(u32::try_from(number)? * 20),
        )?;
        orders.push(made["data"]["order_id"].as_i64().context("no order")?);
        let person = json!({ "email": "jo@example.com", "phone": "+4915112345678" });
        for _ in 0..4 {
            let path = format!("/v1/shops/{number}/checkout");
            customer.expects(200, &path, &person)?;
        }
    }
    let pays = |provider: &str, amount: u32| json!({ "payment_method": provider, "payment_details": { "amount": amount } });
    for (status, provider, amount) in [
        (200, "stripe", 10),
        (200, "stripe", 20),
        (402, "paypal", 5000),
        // Not a payment method, and nothing that may be a label.
        (400, "sk_live_51Jx", 10),
        (400, "jo@example.com", 10),
    ] {
        customer.expects(status, "/v1/shops/1/payment", &pays(provider, amount))?;
    }
    customer.expects(
        400,
        "/v1/shops/1/payment",
        &json!({ "payment_method": "stripe" }),
    )?;
    customer.expects(200, "/v1/shops/3/payment/intent", &pays("flutterwave", 1))?;
    let of_order = |shop: u64, order: i64, provider: &str| json!({ "shop_id": shop, "order_id": order, "payment_method_type": provider });
    for (status, body) in [
        (200, of_order(1, orders[0], "pay_on_delivery")),
        (200, of_order(3, orders[1], "paypal")),
        (400, of_order(4711, orders[0], "paypal")),
    ] {
        customer.expects(status, "/v1/payments/checkout", &body)?;
    }
    let confirm = json!({ "payment_intent_id": "pi_1", "order_id": orders[0] });
    customer.expects(402, "/v1/payments/1/confirm", &confirm)?;
    customer.expects(400, "/v1/payments/3/confirm", &confirm)?;
    // Shops that no row ever named.
    customer.expects(404, "/v1/shops/4711/checkout", &json!({}))?;
    customer.expects(404, "/v1/shops/abc/payment", &pays("paystack", 1))?;
    let paid =
        json!({ "event": "charge.success", "data": { "reference": "none", "status": "success" } });
    customer.expects(200, "/v1/webhooks/paystack/3", &paid)?;
    customer.expects(404, "/v1/webhooks/stripe/4711", &paid)?;
    let scrape = agent.settled()?;
    durations_are(
        &scrape,
        &[
            ("stripe", "success", 2),
            ("stripe", "failure", 1 + 1),
            ("paypal", "failure", 1 + 1),
            ("paypal", "success", 1),
            ("flutterwave", "success", 1),
            ("pay_on_delivery", "success", 1),
            // The order's, which the request only names by its number.
            ("paystack", "failure", 1 + 1),
            ("paystack", "success", 1),
            ("unknown", "failure", 1),
            ("_other", "failure", 2),
        ],
    )?;
    steps_are(
        &scrape,
        &[
            ("1", "order", "success", 1),
            ("3", "order", "success", 1),
            ("1", "checkout", "success", 4),
            ("3", "checkout", "success", 4),
            ("unknown", "checkout", "failure", 1),
            ("1", "payment", "success", 2 + 1),
            ("1", "payment", "failure", 4),
            ("3", "payment", "success", 1),
            ("unknown", "payment", "failure", 1 + 1),
            ("3", "intent", "success", 1),
            ("1", "confirm", "failure", 1),
            ("3", "confirm", "failure", 1),
        ],
    )?;
    let (_, text) = agent.get("/metrics")?;
    for secret in ["sk_live_51Jx", "jo@example.com", "4711", "abc"] {
        let label = format!("\"{secret}\"");
        ensure!(!text.contains(&label), "{secret}");
    }
    Ok(())
}

#[test]
fn an_order_is_orphaned_where_its_item_fails_outside_of_a_transaction() -> Result<()> {
    let shop = Shop::start()?;
    let agent = Agent::observe(&[&shop.cgroup])?;
    let customer = Customer::of(shop.app.address());
    let mutation = |variation| json!({ "query": "mutation { createOrder { order } }", "variables": { "input": order(variation) } });
    for variation in [21, 999_999, 22, 999_998, 999_997] {
        customer.expects(200, "/query", &mutation(variation))?;
    }
    for (status, variation) in [(201, 21), (500, 999_999), (500, 999_998)] {
        customer.expects(status, "/v1/shops/2/orders", &order(variation))?;
    }
    let scrape = agent.settled()?;
    scrape
        .select("naytife_orders_orphaned_total")
        .with("shop_id", "2")
        .is(3)?;
    let mut client = shop.postgres.client("naytifedb")?;
    let truth = "SELECT count(*), count(*) FILTER (WHERE NOT EXISTS
        (SELECT FROM order_items i WHERE i.order_id = o.order_id)) FROM orders o";
    let row = client.query_one(truth, &[])?;
    let [orders, orphans] = [0, 1].map(|column| row.get::<_, i64>(column));
    scrape
        .select("naytife_orders_orphaned_total")
        .is(orphans.try_into()?)?;
    scrape
        .select("naytife_orders_total")
        .with("status", "pending")
        .is(orders.try_into()?)?;
    let rule = |rule, outcome| {
        let facts = scrape.select("observer_facts_total");
        facts.with("rule", rule).with("outcome", outcome)
    };
    rule("CreateOrder", "rolled_back").is(2)?;
    rule("OrphanOrder", "published").is(3)
}

#[test]
fn behind_a_gateway_a_step_counts_once() -> Result<()> {
    let shop = Shop::start()?;
    let gateways = Cgroup::create("gateway")?;
    let gateway = Nginx::before(&Place::within(&gateways), shop.app.address())?;
    let agent = Agent::observe(&[&gateways, &shop.cgroup])?;
    let customer = Customer::of(gateway.address());
    for _ in 0..20 {
        customer.expects(200, "/v1/shops/1/checkout", &json!({}))?;
    }
    let scrape = agent.settled()?;
    scrape
        .select("naytife_http_request_duration_seconds_count")
        .with("endpoint", "/v1/shops/{shop_id}/checkout")
        .is(40)?;
    steps_are(&scrape, &[("1", "checkout", "success", 20)])?;
    scrape
        .select("observer_facts_total")
        .with("rule", "CheckoutStep")
        .with("outcome", "repeated")
        .is(20)
}
