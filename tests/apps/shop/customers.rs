//! Customers of a shop.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::{Answer, Failure, created, ok};
use crate::catalogue::number;
use crate::sql;
use crate::store::Store;

const PAGE_SIZE: i64 = 10;

#[derive(Debug, Deserialize)]
pub(crate) struct NewCustomer {
    shop_id: i64,
    email: String,
    name: String,
}

/// The shop is in the body.
pub(crate) async fn register(
    State(store): State<Arc<Store>>,
    Json(new): Json<NewCustomer>,
) -> Answer {
    let none: Option<String> = None;
    let row = store
        .row(
            sql::UPSERT_CUSTOMER,
            &[
                &new.email,
                &new.name,
                &none,
                &none,
                &true,
                &"google",
                &new.email,
                &new.shop_id,
            ],
        )
        .await?
        .ok_or(Failure::NotFound("customer"))?;
    created(json!({ "shop_customer_id": row.get::<_, Uuid>("shop_customer_id").to_string() }))
}

pub(crate) async fn list(State(store): State<Arc<Store>>, Path(shop): Path<String>) -> Answer {
    let shop = number(&shop);
    let rows = store
        .rows(sql::GET_CUSTOMERS, &[&shop, &PAGE_SIZE, &0i64])
        .await?;
    store.rows(sql::GET_CUSTOMERS_COUNT, &[&shop]).await?;
    let ids = rows
        .iter()
        .map(|row| row.get::<_, Uuid>("shop_customer_id").to_string());
    ok(ids.map(Value::from).collect())
}

/// 200, whether there was such a customer or not.
pub(crate) async fn delete(
    State(store): State<Arc<Store>>,
    Path((shop, customer)): Path<(String, Uuid)>,
) -> Answer {
    let session = store.session().await?;
    session
        .change(sql::DELETE_CUSTOMER, &[&customer, &number(&shop)])
        .await?;
    ok(Value::Null)
}
