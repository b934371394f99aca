//! Shops and products; product pages come from the cache when they are there.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::answer::{Answer, Failure, ok};
use crate::sql;
use crate::store::Store;

/// How long a product page is cached; seconds.
const PAGE_LIFE: u64 = 30;
const PAGE_SIZE: i64 = 20;

/// A shop's number as handlers read it: what is none becomes 0, what is too big the biggest, and
/// the database then has no rows for it.
pub(crate) fn number(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { i64::MAX } else { 0 }
    })
}

pub(crate) async fn shops(State(store): State<Arc<Store>>, headers: HeaderMap) -> Answer {
    let user = headers.get("x-user-id").and_then(|user| user.to_str().ok());
    let user = store
        .row(sql::GET_USER, &[&user.unwrap_or_default()])
        .await?
        .ok_or(Failure::Unauthorized)?;
    let owner: Uuid = user.get("user_id");
    let rows = store.rows(sql::GET_SHOPS_BY_OWNER, &[&owner]).await?;
    ok(rows.iter().map(brief).collect())
}

pub(crate) async fn shop(State(store): State<Arc<Store>>, Path(shop): Path<String>) -> Answer {
    let row = store.row(sql::GET_SHOP, &[&number(&shop)]).await?;
    ok(brief(&row.ok_or(Failure::NotFound("shop"))?))
}

pub(crate) async fn subdomain(State(store): State<Arc<Store>>, Path(name): Path<String>) -> Answer {
    let row = store.row(sql::GET_SHOP_BY_SUBDOMAIN, &[&name]).await?;
    ok(brief(&row.ok_or(Failure::NotFound("shop"))?))
}

/// A page of products, each with how often it was viewed.
pub(crate) async fn products(State(store): State<Arc<Store>>, Path(shop): Path<String>) -> Answer {
    let shop = number(&shop);
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&shop, &0i64, &PAGE_SIZE];
    let rows = store.rows(sql::GET_PRODUCTS, &values).await?;
    let views: Vec<Option<i64>> = if rows.is_empty() {
        Vec::new()
    } else {
        let keys: Vec<String> = rows
            .iter()
            .map(|row| views_key(shop, row.get("product_id")))
            .collect();
        let (views,) = store.cached(redis::pipe().mget(keys)).await?;
        views
    };
    let products = rows.iter().zip(views).map(|(row, views)| {
        json!({
            "product_id": row.get::<_, i64>("product_id"),
            "title": row.get::<_, String>("title"),
            "views": views.unwrap_or(0),
        })
    });
    ok(products.collect())
}

/// A product's page: one look-up in the cache, and the database only when that is in vain.
pub(crate) async fn product(
    State(store): State<Arc<Store>>,
    Path((shop, product)): Path<(String, String)>,
) -> Answer {
    let (shop, product) = (number(&shop), number(&product));
    let key = format!("product:{shop}:{product}");
    let (page, _): (Option<String>, i64) = store
        .cached(redis::pipe().get(&key).incr(views_key(shop, product), 1))
        .await?;
    if let Some(page) = page {
        return ok(serde_json::from_str(&page)?);
    }
    let row = store.row(sql::GET_PRODUCT, &[&product, &shop]).await?;
    let row = row.ok_or(Failure::NotFound("product"))?;
    let page = json!({
        "product_id": product,
        "title": row.get::<_, String>("title"),
        "description": row.get::<_, String>("description"),
        "price": row.get::<_, Decimal>("price").to_string(),
        "available_quantity": row.get::<_, i64>("available_quantity"),
    });
    let () = store
        .cached(
            redis::pipe()
                .set_ex(&key, page.to_string(), PAGE_LIFE)
                .ignore(),
        )
        .await?;
    ok(page)
}

fn brief(row: &Row) -> Value {
    json!({
        "shop_id": row.get::<_, i64>("shop_id"),
        "title": row.get::<_, String>("title"),
        "subdomain": row.get::<_, String>("subdomain"),
        "currency_code": row.get::<_, String>("currency_code"),
        "status": row.get::<_, String>("status"),
    })
}

fn views_key(shop: i64, product: i64) -> String {
    format!("views:{shop}:{product}")
}
