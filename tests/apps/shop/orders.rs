//! Orders: the REST handlers, and what GraphQL shares with them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::answer::{Answer, Failure, created, ok};
use crate::catalogue::number;
use crate::sql;
use crate::store::{Session, Store};

const PAGE_SIZE: i64 = 10;

/// An order as a client sends it.
#[derive(Debug, Deserialize)]
pub(crate) struct NewOrder {
    pub(crate) customer_name: String,
    pub(crate) shipping_address: String,
    pub(crate) shipping_method: String,
    pub(crate) payment_method: String,
    pub(crate) transaction_id: Option<String>,
    pub(crate) items: Vec<NewItem>,
}

/// An item as a client sends it: the price is the client's, not the catalogue's.
#[derive(Debug, Deserialize)]
pub(crate) struct NewItem {
    pub(crate) product_variation_id: String,
    pub(crate) quantity: i64,
    pub(crate) price: Decimal,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NewStatus {
    status: String,
}

pub(crate) async fn create(
    State(store): State<Arc<Store>>,
    Path(shop): Path<String>,
    Json(order): Json<NewOrder>,
) -> Answer {
    if order.items.is_empty() || order.payment_method == "pay_on_delivery" {
        return Err(Failure::Invalid("an order has items and a payment method"));
    }
    let session = store.session().await?;
    session.simple("begin").await?;
    match insert(&session, number(&shop), &order).await {
        Ok(row) => {
            session.simple("commit").await?;
            created(json(&row))
        }
        Err(error) => {
            session.simple("rollback").await?;
            Err(error.into())
        }
    }
}

/// The order and its items; an item that fails leaves the order behind unless a transaction
/// around them is rolled back.
pub(crate) async fn insert(session: &Session, shop: i64, order: &NewOrder) -> anyhow::Result<Row> {
    // The platform keeps minor units in a column for major ones.
    let minor = |price: Decimal| price * Decimal::ONE_HUNDRED;
    let amount: Decimal = order
        .items
        .iter()
        .map(|item| minor(item.price) * Decimal::from(item.quantity))
        .sum();
    let none: Option<Uuid> = None;
    let no_text: Option<String> = None;
    let row = session
        .row(
            sql::CREATE_ORDER,
            &[
                &"pending",
                &amount,
                &Decimal::ZERO,
                &Decimal::ZERO,
                &Decimal::ZERO,
                &order.shipping_address,
                &order.payment_method,
                &"pending",
                &order.shipping_method,
                &"pending",
                &order.transaction_id,
                &"guest",
                &none,
                &shop,
                &order.customer_name,
                &no_text,
                &no_text,
            ],
        )
        .await?
        .ok_or_else(|| anyhow::anyhow!("no order came back"))?;
    let id: i64 = row.get("order_id");
    for item in &order.items {
        let variation = number(&item.product_variation_id);
        let price = minor(item.price);
        session
            .rows(
                sql::CREATE_ORDER_ITEM,
                &[&item.quantity, &price, &variation, &id, &shop],
            )
            .await?;
    }
    Ok(row)
}

/// One statement for the page, one for its length, and one for each order's items.
pub(crate) async fn list(State(store): State<Arc<Store>>, Path(shop): Path<String>) -> Answer {
    let shop = number(&shop);
    let orders = store
        .rows(sql::LIST_ORDERS, &[&shop, &PAGE_SIZE, &0i64])
        .await?;
    store.rows(sql::COUNT_ORDERS, &[&shop]).await?;
    let mut page = Vec::with_capacity(orders.len());
    for row in &orders {
        let id: i64 = row.get("order_id");
        let items = store.rows(sql::GET_ORDER_ITEMS, &[&id, &shop]).await?;
        page.push(json!({ "order_id": id, "items": items.len() }));
    }
    ok(page.into())
}

pub(crate) async fn read(
    State(store): State<Arc<Store>>,
    Path((shop, order)): Path<(String, String)>,
) -> Answer {
    ok(whole(&store, number(&shop), number(&order)).await?)
}

pub(crate) async fn set_status(
    State(store): State<Arc<Store>>,
    Path((shop, order)): Path<(String, String)>,
    Json(new): Json<NewStatus>,
) -> Answer {
    let (shop, order) = (number(&shop), number(&order));
    let session = store.session().await?;
    let row = session
        .row(sql::GET_ORDER, &[&order, &shop])
        .await?
        .ok_or(Failure::NotFound("order"))?;
    rewrite(&session, &row, &new.status).await?;
    drop(session);
    ok(whole(&store, shop, order).await?)
}

/// The platform writes the whole row, whatever has changed.
async fn rewrite(session: &Session, row: &Row, status: &str) -> anyhow::Result<()> {
    let text = |column| row.get::<_, String>(column);
    let optional = |column| row.get::<_, Option<String>>(column);
    let money = |column| row.get::<_, Decimal>(column);
    session
        .change(
            sql::UPDATE_ORDER,
            &[
                &status,
                &money("amount"),
                &money("discount"),
                &money("shipping_cost"),
                &money("tax"),
                &text("shipping_address"),
                &text("payment_method"),
                &text("payment_status"),
                &text("shipping_method"),
                &text("shipping_status"),
                &optional("transaction_id"),
                &text("username"),
                &text("customer_name"),
                &optional("customer_email"),
                &optional("customer_phone"),
                &row.get::<_, i64>("order_id"),
                &row.get::<_, i64>("shop_id"),
            ],
        )
        .await?;
    Ok(())
}

pub(crate) async fn delete(
    State(store): State<Arc<Store>>,
    Path((shop, order)): Path<(String, String)>,
) -> Answer {
    let (shop, order) = (number(&shop), number(&order));
    let session = store.session().await?;
    session
        .row(sql::GET_ORDER, &[&order, &shop])
        .await?
        .ok_or(Failure::NotFound("order"))?;
    session.simple("begin").await?;
    session
        .change(sql::DELETE_ORDER_ITEMS, &[&order, &shop])
        .await?;
    session.change(sql::DELETE_ORDER, &[&order, &shop]).await?;
    session.simple("commit").await?;
    ok(Value::Null)
}

async fn whole(store: &Store, shop: i64, order: i64) -> Result<Value, Failure> {
    let row = store.row(sql::GET_ORDER, &[&order, &shop]).await?;
    let row = row.ok_or(Failure::NotFound("order"))?;
    store.rows(sql::GET_ORDER_ITEMS, &[&order, &shop]).await?;
    Ok(json(&row))
}

/// An order's row as the platform answers it.
pub(crate) fn json(row: &Row) -> Value {
    json!({
        "order_id": row.get::<_, i64>("order_id"),
        "shop_id": row.get::<_, i64>("shop_id"),
        "status": row.get::<_, String>("status"),
        "payment_status": row.get::<_, String>("payment_status"),
        "amount": row.get::<_, Decimal>("amount").to_string(),
        "transaction_id": row.get::<_, Option<String>>("transaction_id"),
    })
}
