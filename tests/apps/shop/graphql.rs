//! `POST /query`: the shop is in a header, failures are inside HTTP 200, nothing is in a
//! transaction.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::orders::{self, NewOrder};
use crate::sql;
use crate::store::Store;

#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    query: String,
    #[serde(default)]
    variables: Variables,
}

#[derive(Debug, Default, Deserialize)]
struct Variables {
    input: Option<NewOrder>,
}

pub(crate) async fn query(
    State(store): State<Arc<Store>>,
    headers: HeaderMap,
    Json(request): Json<Request>,
) -> Answer {
    let named = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let subdomain = named("x-shop-subdomain")
        .or_else(|| named("host")?.split('.').next())
        .unwrap_or_default();
    let Some(shop) = store
        .row(sql::GET_SHOP_ID_BY_SUBDOMAIN, &[&subdomain])
        .await?
    else {
        let body = Json(json!({ "error": "Invalid shop" }));
        return Ok((StatusCode::UNAUTHORIZED, body).into_response());
    };
    let shop: i64 = shop.get("shop_id");
    let setting = format!("SET commerce.current_shop_id = {shop}");
    store.session().await?.simple(&setting).await?;

    let body = if request.query.contains("createOrder") {
        create_order(&store, shop, request.variables.input).await
    } else if request.query.contains("products") {
        let rows = store
            .rows(sql::GET_PRODUCTS, &[&shop, &0i64, &10i64])
            .await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.get("product_id")).collect();
        json!({ "data": { "products": ids } })
    } else {
        let row = store.row(sql::GET_SHOP, &[&shop]).await?;
        json!({ "data": { "shop": row.map(|row| row.get::<_, String>("title")) } })
    };
    Ok(Json(body).into_response())
}

async fn create_order(store: &Store, shop: i64, input: Option<NewOrder>) -> Value {
    let Some(order) = input else {
        return errors("input is missing");
    };
    let inserted = match store.session().await {
        Ok(session) => orders::insert(&session, shop, &order).await,
        Err(error) => Err(error),
    };
    match inserted {
        Ok(row) => json!({ "data": { "createOrder": { "order": orders::json(&row) } } }),
        Err(error) => errors(&format!("{error:#}")),
    }
}

fn errors(message: &str) -> Value {
    json!({ "data": null, "errors": [{ "message": message }] })
}
