//! Checkout and payment: nothing is written, and each route names the provider in its own way.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse as _;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Failure, ok};
use crate::catalogue::number;
use crate::sql;
use crate::store::Store;

/// Who can be paid through.
const PROVIDERS: [&str; 5] = [
    "stripe",
    "paypal",
    "paystack",
    "flutterwave",
    "pay_on_delivery",
];
/// What a provider takes; above, it declines.
const LIMIT: Decimal = Decimal::ONE_THOUSAND;

#[derive(Debug, Deserialize)]
pub(crate) struct Payment {
    payment_method: String,
    #[serde(default)]
    payment_details: Details,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    amount: Option<Decimal>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OfOrder {
    order_id: i64,
    shop_id: i64,
    payment_method_type: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Confirmation {
    order_id: i64,
}

/// Says what the shop is; the customer's data come back as they were sent.
pub(crate) async fn checkout(
    State(store): State<Arc<Store>>,
    Path(shop): Path<String>,
    Json(customer): Json<Value>,
) -> Answer {
    let row = store.row(sql::GET_SHOP, &[&number(&shop)]).await?;
    let row = row.ok_or(Failure::NotFound("shop"))?;
    ok(json!({
        "shop_name": row.get::<_, String>("title"),
        "currency_code": row.get::<_, String>("currency_code"),
        "customer_info": customer,
    }))
}

/// Asks the provider for the money at once.
pub(crate) async fn pay(
    state: State<Arc<Store>>,
    shop: Path<String>,
    Json(payment): Json<Payment>,
) -> Answer {
    let Some(amount) = payment.payment_details.amount else {
        return Err(Failure::Invalid("missing amount in payment details"));
    };
    provider(state, shop, &payment.payment_method).await?;
    if amount > LIMIT {
        return Err(Failure::Declined);
    }
    ok(json!({ "order_id": 1, "payment_method": payment.payment_method }))
}

/// Asks the provider for an intent.
pub(crate) async fn intend(
    state: State<Arc<Store>>,
    shop: Path<String>,
    Json(payment): Json<Payment>,
) -> Answer {
    provider(state, shop, &payment.payment_method).await?;
    ok(json!({ "payment_intent_id": "pi_1", "status": "requires_payment_method" }))
}

/// An intent for an order that is there; the shop is in the body.
pub(crate) async fn pay_order(
    State(store): State<Arc<Store>>,
    Json(order): Json<OfOrder>,
) -> Answer {
    if !PROVIDERS.contains(&order.payment_method_type.as_str()) {
        return Err(Failure::Invalid("unsupported payment method"));
    }
    store
        .row(sql::GET_ORDER, &[&order.order_id, &order.shop_id])
        .await?
        .ok_or(Failure::Invalid("order not found"))?;
    let types = [order.payment_method_type];
    let intent = json!({ "payment_intent_id": "pi_1", "payment_method_types": types });
    Ok(Json(intent).into_response())
}

/// Never succeeds: the provider says `completed`, and the platform waits for another word.
pub(crate) async fn confirm(
    State(store): State<Arc<Store>>,
    Path(shop): Path<String>,
    Json(confirmation): Json<Confirmation>,
) -> Answer {
    store
        .row(sql::GET_ORDER, &[&confirmation.order_id, &number(&shop)])
        .await?
        .ok_or(Failure::Invalid("order not found"))?;
    Err(Failure::Declined)
}

async fn provider(
    State(store): State<Arc<Store>>,
    Path(shop): Path<String>,
    name: &str,
) -> Result<(), Failure> {
    store
        .row(sql::GET_SHOP, &[&number(&shop)])
        .await?
        .ok_or(Failure::NotFound("shop"))?;
    if PROVIDERS.contains(&name) {
        Ok(())
    } else {
        Err(Failure::Invalid("unsupported payment method"))
    }
}
