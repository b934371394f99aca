//! The requests that a shop's users make: one table, and how each is made.

use std::collections::VecDeque;

use fastrand::Rng;
use serde::Deserialize;
use serde_json::{Value, json};

/// Shops that there are, from 1; products of each.
const SHOPS: u64 = 5;
const PRODUCTS: u64 = 20;
/// Orders that a connection remembers.
const REMEMBERED: usize = 32;

/// A row of the table.
#[derive(Debug)]
pub(super) struct Kind {
    /// Of a hundred requests, about as many.
    weight: u32,
    /// Its method.
    pub(super) method: &'static str,
    /// Its route, as the agent's label names it; empty where no route matches.
    pub(super) endpoint: &'static str,
    make: fn(&mut Rng, &mut Known) -> Parts,
}

/// A request to be sent.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) kind: &'static Kind,
    pub(super) path: String,
    pub(super) header: Option<(&'static str, String)>,
    pub(super) body: String,
}

/// What a connection has learnt from its answers.
#[derive(Debug)]
pub(super) struct Known {
    connection: u32,
    transactions: u64,
    orders: VecDeque<Order>,
}

#[derive(Clone, Debug, Deserialize)]
struct Order {
    #[serde(rename = "shop_id")]
    shop: u64,
    #[serde(rename = "order_id")]
    id: u64,
    #[serde(rename = "transaction_id")]
    transaction: String,
}

#[derive(Debug, Default)]
struct Parts {
    path: String,
    header: Option<(&'static str, String)>,
    body: String,
}

const fn row(
    weight: u32,
    method: &'static str,
    endpoint: &'static str,
    make: fn(&mut Rng, &mut Known) -> Parts,
) -> Kind {
    Kind {
        weight,
        method,
        endpoint,
        make,
    }
}

/// What users, providers and scanners send.
#[rustfmt::skip]
static KINDS: &[Kind] = &[
    row(30, "GET", "/v1/shops/{shop_id}/products/{product_id}", |r, _| page(r)),
    row(14, "GET", "/v1/shops/{shop_id}/products", |r, _| get(format!("/v1/shops/{}/products", shop(r)))),
    row(10, "GET", "/v1/shops/{shop_id}", |r, _| get(format!("/v1/shops/{}", shop(r)))),
    row(7, "POST", "/query GetShop", |r, _| graphql(shop(r), "query GetShop { shop { title } }", &json!({}))),
    row(3, "POST", "/query GetProducts", |r, _| graphql(shop(r), "query GetProducts($first: Int) { products(first: $first) { id } }", &json!({ "first": 10 }))),
    row(5, "POST", "/query createOrder", graphql_order),
    row(8, "POST", "/v1/shops/{shop_id}/orders", rest_order),
    row(4, "GET", "/v1/shops/{shop_id}/orders", |r, _| get(format!("/v1/shops/{}/orders", shop(r)))),
    row(4, "GET", "/v1/shops/{shop_id}/orders/{order_id}", |r, known| get(known.order(r).path(""))),
    row(3, "PATCH", "/v1/shops/{shop_id}/orders/{order_id}/status", set_status),
    row(1, "DELETE", "/v1/shops/{shop_id}/orders/{order_id}", |r, known| get(known.order(r).path(""))),
    row(3, "POST", "/v1/webhooks/paystack/{shop_id}", paystack),
    row(2, "GET", "/v1/shops/{shop_id}/inventory/low-stock", |r, _| get(format!("/v1/shops/{}/inventory/low-stock?threshold=10", shop(r)))),
    row(1, "PUT", "/v1/shops/{shop_id}/inventory/variants/{variant_id}/stock", |r, _| stock(r, "stock", 1_000_000)),
    row(1, "POST", "/v1/shops/{shop_id}/inventory/variants/{variant_id}/add-stock", |r, _| stock(r, "add-stock", 5)),
    row(1, "POST", "/v1/shops/{shop_id}/inventory/variants/{variant_id}/deduct-stock", |r, _| stock(r, "deduct-stock", 1)),
    row(2, "GET", "/v1/shops/{shop_id}/customers", |r, _| get(format!("/v1/shops/{}/customers", shop(r)))),
    row(1, "POST", "/v1/auth/register-customer", customer),
    row(1, "DELETE", "/v1/shops/{shop_id}/customers/{customer_id}", |r, _| get(format!("/v1/shops/{}/customers/00000000-0000-4000-8000-{:012x}", shop(r), r.u32(..)))),
    // The caller's shops; nobody without a name.
    row(1, "GET", "/v1/shops", |_, _| Parts { header: Some(("x-user-id", "owner@example.com".into())), ..get("/v1/shops".into()) }),
    row(1, "GET", "/v1/shops", |_, _| get("/v1/shops".into())),
    row(1, "GET", "/v1/subdomains/{subdomain}", |r, _| get(format!("/v1/subdomains/shop{}", shop(r)))),
    // What scanners guess: no shop, no route.
    row(1, "GET", "/v1/shops/{shop_id}/orders", |r, _| get(one_of(r, ["/v1/shops/abc/orders", "/v1/shops/-1/orders", "/v1/shops/99999999999999999999/orders"]))),
    row(1, "GET", "", |r, _| get(one_of(r, ["/wp-login.php", "/.env", "/admin/config"]))),
];

/// What is left of the hundred.
static PROBE: Kind = row(3, "GET", "/health", |_, _| get("/health".into()));

/// The next request of a connection.
pub(super) fn make(random: &mut Rng, known: &mut Known) -> Made {
    let all: u32 = KINDS.iter().map(|kind| kind.weight).sum();
    let mut ticket = random.u32(..all + PROBE.weight);
    let kind = KINDS
        .iter()
        .find(|kind| {
            let taken = ticket < kind.weight;
            ticket = ticket.saturating_sub(kind.weight);
            taken
        })
        .unwrap_or(&PROBE);
    let Parts { path, header, body } = (kind.make)(random, known);
    Made {
        kind,
        path,
        header,
        body,
    }
}

/// Takes from an answer what later requests need; whether it is a GraphQL failure.
pub(super) fn learn(known: &mut Known, made: &Made, status: u16, body: &[u8]) -> bool {
    if made.kind.method != "POST" {
        return false;
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let order = ["/data", "/data/createOrder/order"]
        .into_iter()
        .find_map(|path| serde_json::from_value(body.pointer(path)?.clone()).ok());
    if let Some(order) = order {
        if known.orders.len() == REMEMBERED {
            known.orders.pop_front();
        }
        known.orders.push_back(order);
    }
    status == 200 && body.pointer("/errors").is_some()
}

// === impl Made ===

impl Made {
    /// The shop that its path names, where its route says so and there is one.
    pub(super) fn shop(&self) -> Option<u64> {
        if !self.kind.endpoint.contains("{shop_id}") {
            return None;
        }
        let shop = self
            .path
            .split(['/', '?'])
            .find_map(|part| part.parse().ok());
        shop.filter(|shop| (1..=SHOPS).contains(shop))
    }
}

// === impl Kind ===

impl Kind {
    /// The GraphQL operation; empty for other requests.
    pub(super) fn operation(&self) -> &'static str {
        self.endpoint.strip_prefix("/query ").unwrap_or_default()
    }
}

// === impl Known ===

impl Known {
    pub(super) fn of(connection: u32) -> Self {
        Self {
            connection,
            transactions: 0,
            orders: VecDeque::new(),
        }
    }

    /// One of the orders made on this connection, or one that nobody made.
    fn order(&self, random: &mut Rng) -> Order {
        random
            .choice(&self.orders)
            .cloned()
            .unwrap_or_else(|| Order {
                shop: shop(random),
                id: 999_999_999,
                transaction: "nobody's".into(),
            })
    }

    fn transaction(&mut self) -> String {
        self.transactions += 1;
        format!("T-{}-{}", self.connection, self.transactions)
    }
}

impl Order {
    fn path(&self, tail: &str) -> String {
        format!("/v1/shops/{}/orders/{}{tail}", self.shop, self.id)
    }
}

/// One of a shop's products; now and then one that there is not.
fn page(random: &mut Rng) -> Parts {
    let shop = shop(random);
    let product = if random.u32(..20) == 0 {
        999
    } else {
        product(random, shop)
    };
    get(format!("/v1/shops/{shop}/products/{product}"))
}

fn get(path: String) -> Parts {
    Parts {
        path,
        ..Parts::default()
    }
}

fn graphql(shop: u64, query: &str, variables: &Value) -> Parts {
    Parts {
        path: "/query".into(),
        header: Some(("x-shop-subdomain", format!("shop{shop}"))),
        body: json!({ "query": query, "variables": variables }).to_string(),
    }
}

fn graphql_order(random: &mut Rng, known: &mut Known) -> Parts {
    let shop = shop(random);
    let query = "mutation createOrder($input: CreateOrderInput!) { createOrder(input: $input) { order { id } } }";
    graphql(shop, query, &json!({ "input": order(random, known, shop) }))
}

fn rest_order(random: &mut Rng, known: &mut Known) -> Parts {
    let shop = shop(random);
    Parts {
        path: format!("/v1/shops/{shop}/orders"),
        body: order(random, known, shop).to_string(),
        ..Parts::default()
    }
}

/// One to three items; one order in twenty names a variation that there is not.
fn order(random: &mut Rng, known: &mut Known, shop: u64) -> Value {
    let mut items: Vec<Value> = (0..random.u32(1..=3))
        .map(|_| {
            let variation = product(random, shop);
            json!({
                "product_variation_id": variation.to_string(),
                "quantity": random.u32(1..=3),
                "price": format!("{}.99", 4 + variation),
            })
        })
        .collect();
    if random.u32(..20) == 0 {
        items.push(json!({ "product_variation_id": "999999", "quantity": 1, "price": "1.00" }));
    }
    json!({
        "customer_name": "Ada Example",
        "shipping_address": "1 Example Street",
        "shipping_method": "standard",
        "payment_method": "paystack",
        "transaction_id": known.transaction(),
        "items": items,
    })
}

fn set_status(random: &mut Rng, known: &mut Known) -> Parts {
    let status = one_of(random, ["processing", "completed", "cancelled"]);
    Parts {
        path: known.order(random).path("/status"),
        body: json!({ "status": status }).to_string(),
        ..Parts::default()
    }
}

fn paystack(random: &mut Rng, known: &mut Known) -> Parts {
    let order = known.order(random);
    let (event, status) = match random.u32(..10) {
        0 => ("charge.failed", "failed"),
        1 => ("refund.processed", "reversed"),
        _ => ("charge.success", "success"),
    };
    let data = json!({ "reference": order.transaction, "status": status });
    Parts {
        path: format!("/v1/webhooks/paystack/{}", order.shop),
        body: json!({ "event": event, "data": data }).to_string(),
        ..Parts::default()
    }
}

fn stock(random: &mut Rng, what: &str, quantity: u32) -> Parts {
    let shop = shop(random);
    let variant = product(random, shop);
    Parts {
        path: format!("/v1/shops/{shop}/inventory/variants/{variant}/{what}"),
        body: json!({ "quantity": quantity, "reason": "counted", "reference_type": "manual" })
            .to_string(),
        ..Parts::default()
    }
}

fn customer(random: &mut Rng, _: &mut Known) -> Parts {
    let number = random.u32(..1000);
    let body = json!({ "shop_id": shop(random), "email": format!("c{number}@example.com"), "name": "Ada Example" });
    Parts {
        path: "/v1/auth/register-customer".into(),
        body: body.to_string(),
        ..Parts::default()
    }
}

fn one_of<const N: usize>(random: &mut Rng, choices: [&str; N]) -> String {
    random.choice(choices).unwrap_or_default().to_owned()
}

fn shop(random: &mut Rng) -> u64 {
    random.u64(1..=SHOPS)
}

/// One of the shop's products; its variation has the same number.
fn product(random: &mut Rng, shop: u64) -> u64 {
    (shop - 1) * PRODUCTS + random.u64(1..=PRODUCTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_requests() {
        let requests = |seed| -> Vec<_> {
            let (mut random, mut known) = (Rng::with_seed(seed), Known::of(0));
            let mut next = || make(&mut random, &mut known);
            (0..200)
                .map(|_| next())
                .map(|made| (made.path, made.body))
                .collect()
        };
        assert_eq!(requests(1), requests(1));
        assert_ne!(requests(1), requests(2));
    }

    #[test]
    fn a_shop_is_one_that_the_path_names_and_that_there_is() {
        let shop = |row: usize, path: &str| {
            let (kind, path) = (&KINDS[row], path.into());
            let (header, body) = (None, String::new());
            Made {
                kind,
                path,
                header,
                body,
            }
            .shop()
        };
        assert_eq!(shop(0, "/v1/shops/3/products/41"), Some(3));
        assert_eq!(shop(11, "/v1/webhooks/paystack/5"), Some(5));
        assert_eq!(shop(22, "/v1/shops/-1/orders"), None);
        assert_eq!(shop(22, "/v1/shops/abc/orders"), None);
        assert_eq!(shop(3, "/query"), None);
    }

    #[test]
    fn an_order_is_remembered_from_its_answer() {
        let (mut random, mut known) = (Rng::with_seed(1), Known::of(0));
        let made = Made {
            kind: &KINDS[6],
            path: String::new(),
            header: None,
            body: String::new(),
        };
        let body = br#"{"data":{"order_id":7,"shop_id":3,"transaction_id":"T-0-1"}}"#;
        assert!(!learn(&mut known, &made, 201, body));
        assert_eq!(
            known.order(&mut random).path("/status"),
            "/v1/shops/3/orders/7/status"
        );
        assert!(learn(
            &mut known,
            &made,
            200,
            br#"{"data":null,"errors":[{}]}"#
        ));
    }
}
