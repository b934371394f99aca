//! What payment providers tell: answered with 200 whatever becomes of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse as _;
use serde::Deserialize;
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::catalogue::number;
use crate::sql;
use crate::store::Store;

#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    data: Payment,
}

#[derive(Debug, Deserialize)]
struct Payment {
    reference: String,
    status: String,
}

pub(crate) async fn receive(
    State(store): State<Arc<Store>>,
    Path((_provider, shop)): Path<(String, String)>,
    Json(event): Json<Event>,
) -> Answer {
    let shop = number(&shop);
    store
        .row(sql::GET_SHOP, &[&shop])
        .await?
        .ok_or(Failure::NotFound("shop"))?;
    let reference = event.data.reference;
    let order = store
        .row(sql::GET_ORDER_BY_TRANSACTION, &[&reference, &shop])
        .await?;
    if order.is_some() {
        let (status, payment) = match event.data.status.as_str() {
            "success" => ("processing", "paid"),
            "reversed" => ("refunded", "refunded"),
            _ => ("cancelled", "failed"),
        };
        store
            .rows(
                sql::UPDATE_ORDER_BY_TRANSACTION,
                &[&reference, &shop, &status, &payment],
            )
            .await?;
    }
    Ok(Json(json!({ "status": "success" })).into_response())
}
