//! The shop under load: everything that it was sent and that it sent is counted.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use observer_tests::account::Line;
use observer_tests::agent::Agent;
use observer_tests::shop::Shop;

#[test]
fn the_shop_answers_as_the_platform_does() -> Result<()> {
    let shop = Shop::start()?;
    let sent = shop.drive(7, Duration::from_secs(3))?;
    assert_eq!(sent.unanswered, 0);
    let count = |method, endpoint, status| {
        sent.answered
            .get(&(method, endpoint, status))
            .copied()
            .unwrap_or(0)
    };
    for (method, endpoint, status) in [
        ("GET", "/v1/shops/{shop_id}/products/{product_id}", 200),
        ("GET", "/v1/shops/{shop_id}/products/{product_id}", 404),
        ("GET", "/v1/shops", 200),
        ("GET", "/v1/shops", 401),
        ("POST", "/v1/shops/{shop_id}/orders", 201),
        ("POST", "/v1/webhooks/paystack/{shop_id}", 200),
        ("POST", "/query createOrder", 200),
        ("GET", "", 404),
    ] {
        assert!(
            count(method, endpoint, status) > 0,
            "{method} {endpoint} {status}: {sent:#?}"
        );
    }
    let log = shop.statements()?;
    let names = log.by_name();
    for name in [
        "CreateOrder",
        "CreateOrderItem",
        "GetShopIDBySubDomain",
        "UpdateOrderStatusByTransactionID",
    ] {
        assert!(names.contains_key(name), "{name}: {names:?}");
    }
    let (hits, misses) = shop.redis.lookups()?;
    assert!(hits > 0 && misses > 0, "{hits} {misses}");
    Ok(())
}

#[test]
fn every_request_statement_and_command_is_counted() -> Result<()> {
    let shop = Shop::start()?;
    let agent = Agent::observe(&[&shop.cgroup])?;
    let sent = shop.drive(7, Duration::from_secs(5))?;
    assert_eq!(sent.unanswered, 0);
    agent.settled()?;
    agent.eventually(|scrape| {
        let account = shop.account(&sent, scrape)?;
        let wrong: Vec<&Line> = account.lines().filter(|line| !line.agrees()).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        bail!("{wrong:#?}")
    })?;
    Ok(())
}

/// Requests for a shop are labelled with it only once the database named it; guesses never are.
#[test]
fn a_shop_is_a_label_once_a_row_proved_it() -> Result<()> {
    let shop = Shop::start()?;
    let agent = Agent::observe(&[&shop.cgroup])?;
    let client: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let get = |path: &str| -> Result<u16> {
        let url = format!("http://{}{path}", shop.app.address());
        Ok(client.get(url).call()?.status().as_u16())
    };
    let query = |subdomain: &str, text: &str| -> Result<u16> {
        let url = format!("http://{}/query", shop.app.address());
        let body = format!("{{\"query\":\"{text}\"}}");
        let request = client
            .post(url)
            .header("x-shop-subdomain", subdomain)
            .content_type("application/json");
        Ok(request.send(body)?.status().as_u16())
    };
    // No customers: a parameter, and no row that names the shop.
    ensure!(get("/v1/shops/4/customers")? == 200);
    agent.settled()?;
    ensure!(get("/v1/shops/4")? == 200);
    agent.settled()?;
    ensure!(get("/v1/shops/4/customers")? == 200);
    for guess in ["abc", "-1", "0", "4711", "99999999999999999999", "4%27--"] {
        get(&format!("/v1/shops/{guess}/customers"))?;
    }
    ensure!(query("shop2", "mutation CreateNothing { createOrder { order } }")? == 200);
    ensure!(query("shop2", "{ shop { title } }")? == 200);
    ensure!(query("jo@example.com", "{ shop { title } }")? == 401);
    ensure!(get("/health")? == 200);
    let scrape = agent.settled()?;
    let requests = |endpoint: &str, shop: &str| {
        scrape
            .select("naytife_http_request_duration_seconds_count")
            .with("service", "shop")
            .with("endpoint", endpoint)
            .with("shop_id", shop)
    };
    let customers = "/v1/shops/{shop_id}/customers";
    requests(customers, "4").is(1)?;
    requests(customers, "unknown").is(1 + 6)?;
    requests("/v1/shops/{shop_id}", "4").is(1)?;
    requests("/query CreateNothing", "2").is(1)?;
    requests("/query shop", "2").is(1)?;
    requests("/query shop", "unknown").is(1)?;
    requests("/health", "").is(1)?;
    scrape
        .select("naytife_graphql_errors_total")
        .with("service", "shop")
        .with("operation", "CreateNothing")
        .with("shop_id", "2")
        .is(1)?;
    scrape.select("naytife_graphql_errors_total").is(1)?;
    let (_, text) = agent.get("/metrics")?;
    for guess in ["4711", "jo@example.com", "99999999999999999999", "abc"] {
        let label = format!("\"{guess}\"");
        ensure!(!text.contains(&label), "{guess}");
    }
    Ok(())
}
