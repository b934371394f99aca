//! The envelope of every answer.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// What a handler returns.
pub(crate) type Answer = Result<Response, Failure>;

/// Why a request has no other answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no such thing.
    NotFound(&'static str),
    /// The request makes no sense.
    Invalid(&'static str),
    /// Nobody we know asks.
    Unauthorized,
    /// The provider does not take the payment.
    Declined,
    /// A store failed.
    Store(anyhow::Error),
}

/// 200 and the data.
#[expect(clippy::unnecessary_wraps, reason = "it ends handlers that can fail")]
pub(crate) fn ok(data: Value) -> Answer {
    Ok(envelope(StatusCode::OK, data))
}

/// 201 and the data.
#[expect(clippy::unnecessary_wraps, reason = "it ends handlers that can fail")]
pub(crate) fn created(data: Value) -> Answer {
    Ok(envelope(StatusCode::CREATED, data))
}

/// Touches no store.
pub(crate) async fn healthy() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

fn envelope(status: StatusCode, data: Value) -> Response {
    let body = Map::from_iter([
        ("status".to_owned(), "success".into()),
        ("data".to_owned(), data),
        ("code".to_owned(), status.as_u16().into()),
    ]);
    (status, Json(body)).into_response()
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::NotFound(what) => (StatusCode::NOT_FOUND, format!("{what} not found")),
            Self::Invalid(what) => (StatusCode::BAD_REQUEST, what.to_owned()),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unknown user".into()),
            Self::Declined => (StatusCode::PAYMENT_REQUIRED, "payment failed".into()),
            Self::Store(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")),
        };
        let body = json!({ "status": "error", "message": message, "code": status.as_u16() });
        (status, Json(body)).into_response()
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}
