//! A small shop, as the platform's backend is one: the same routes, tables and statement shapes,
//! on a real PostgreSQL and a real Redis. It knows nothing of who observes it.
#![forbid(unsafe_code)]

mod answer;
mod catalogue;
mod customers;
mod graphql;
mod inventory;
mod orders;
mod payments;
mod sql;
mod store;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::routing::{delete, get, patch, post, put};
use clap::Parser;
use tokio::net::TcpListener;

use crate::answer::Failure;
use crate::store::Store;

#[derive(Debug, Parser)]
struct Args {
    /// Where to serve
    #[arg(long)]
    listen: SocketAddr,
    /// The database, which is filled when it is empty
    #[arg(long)]
    database: String,
    /// The cache
    #[arg(long)]
    redis: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    store::fill(&args.database).await?;
    let store = Arc::new(Store::new(&args.database, args.redis)?);
    let listener = TcpListener::bind(args.listen).await?;
    axum::serve(listener, routes(store)).await?;
    Ok(())
}

fn routes(store: Arc<Store>) -> Router {
    let shop = Router::new()
        .route("/", get(catalogue::shop))
        .route("/products", get(catalogue::products))
        .route("/products/{product_id}", get(catalogue::product))
        .route("/orders", get(orders::list).post(orders::create))
        .route(
            "/orders/{order_id}",
            get(orders::read).delete(orders::delete),
        )
        .route("/orders/{order_id}/status", patch(orders::set_status))
        .route("/inventory/low-stock", get(inventory::low))
        .route(
            "/inventory/variants/{variant_id}/stock",
            put(inventory::set),
        )
        .route(
            "/inventory/variants/{variant_id}/add-stock",
            post(inventory::add),
        )
        .route(
            "/inventory/variants/{variant_id}/deduct-stock",
            post(inventory::deduct),
        )
        .route("/checkout", post(payments::checkout))
        .route("/payment", post(payments::pay))
        .route("/payment/intent", post(payments::intend))
        .route("/customers", get(customers::list))
        .route("/customers/{customer_id}", delete(customers::delete));
    Router::new()
        .route("/health", get(answer::healthy))
        .route("/ready", get(answer::healthy))
        .route("/query", post(graphql::query))
        .route("/v1/shops", get(catalogue::shops))
        .route("/v1/subdomains/{subdomain}", get(catalogue::subdomain))
        .route("/v1/auth/register-customer", post(customers::register))
        .route("/v1/payments/checkout", post(payments::pay_order))
        .route("/v1/payments/{shop_id}/confirm", post(payments::confirm))
        .route("/v1/webhooks/{provider}/{shop_id}", post(webhooks::receive))
        .nest("/v1/shops/{shop_id}", shop)
        .fallback(async || Failure::NotFound("route"))
        .with_state(store)
}
