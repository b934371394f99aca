//! Stock.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Row;

use crate::answer::{Answer, Failure, ok};
use crate::catalogue::number;
use crate::sql;
use crate::store::Store;

const LOW: i64 = 10;

#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    quantity: i64,
    reason: String,
}

pub(crate) async fn low(State(store): State<Arc<Store>>, Path(shop): Path<String>) -> Answer {
    let rows = store
        .rows(sql::GET_LOW_STOCK, &[&number(&shop), &LOW])
        .await?;
    ok(rows.iter().map(variation).collect())
}

pub(crate) async fn set(
    State(store): State<Arc<Store>>,
    Path((shop, variant)): Path<(String, String)>,
    Json(change): Json<Change>,
) -> Answer {
    if change.quantity == 0 {
        return Err(Failure::Invalid("quantity is required"));
    }
    let (shop, variant) = (number(&shop), number(&variant));
    let before = store.row(sql::GET_VARIATION, &[&variant, &shop]).await?;
    let before: i64 = before
        .ok_or(Failure::NotFound("variant"))?
        .get("available_quantity");
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&variant, &shop, &change.quantity];
    let row = store.row(sql::UPDATE_STOCK, &values).await?;
    let row = row.ok_or(Failure::NotFound("variant"))?;
    movement(&store, &row, "adjustment", before, &change.reason).await?;
    forget(&store, &row).await?;
    ok(variation(&row))
}

/// The only way of changing stock that leaves no movement behind.
pub(crate) async fn add(
    State(store): State<Arc<Store>>,
    Path((shop, variant)): Path<(String, String)>,
    Json(change): Json<Change>,
) -> Answer {
    let (shop, variant) = (number(&shop), number(&variant));
    let row = store
        .row(sql::ADD_STOCK, &[&variant, &shop, &change.quantity])
        .await?;
    let row = row.ok_or(Failure::NotFound("variant"))?;
    forget(&store, &row).await?;
    ok(variation(&row))
}

pub(crate) async fn deduct(
    State(store): State<Arc<Store>>,
    Path((shop, variant)): Path<(String, String)>,
    Json(change): Json<Change>,
) -> Answer {
    let (shop, variant) = (number(&shop), number(&variant));
    let row = store
        .row(sql::DEDUCT_STOCK, &[&variant, &shop, &change.quantity])
        .await?;
    let row = row.ok_or(Failure::NotFound("variant"))?;
    let before = row.get::<_, i64>("available_quantity") + change.quantity;
    movement(&store, &row, "sale", before, &change.reason).await?;
    forget(&store, &row).await?;
    ok(variation(&row))
}

async fn movement(
    store: &Store,
    row: &Row,
    kind: &str,
    before: i64,
    notes: &str,
) -> anyhow::Result<()> {
    let after: i64 = row.get("available_quantity");
    let (variant, shop): (i64, i64) = (row.get("product_variation_id"), row.get("shop_id"));
    let small = |n: i64| i32::try_from(n);
    let (change, before, after) = (small(after - before)?, small(before)?, small(after)?);
    let none: Option<i64> = None;
    store
        .rows(
            sql::CREATE_MOVEMENT,
            &[
                &variant, &shop, &kind, &change, &before, &after, &none, &notes,
            ],
        )
        .await?;
    Ok(())
}

/// The cached page shows the old stock.
async fn forget(store: &Store, row: &Row) -> anyhow::Result<()> {
    let (shop, product): (i64, i64) = (row.get("shop_id"), row.get("product_id"));
    store
        .cached(
            redis::pipe()
                .del(format!("product:{shop}:{product}"))
                .ignore(),
        )
        .await
}

fn variation(row: &Row) -> Value {
    json!({
        "product_variation_id": row.get::<_, i64>("product_variation_id"),
        "available_quantity": row.get::<_, i64>("available_quantity"),
    })
}
