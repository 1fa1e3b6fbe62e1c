//! `GET /.well-known/jwks.json`

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};

use crate::http::problem::{Problem, ProblemBody};
use crate::http::state::ApiState;
use crate::service::ServiceError;

/// Get the public signing keys
///
/// A JWK Set (RFC 7517) with every key that may have signed a valid token.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "keys", operation_id = "jwks",
    responses(
        (status = 200, description = "The JWK Set", body = serde_json::Value),
        (status = 503, description = "No key set is loaded", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn jwks(State(state): State<ApiState>) -> Result<Response, Problem> {
    let (set, max_age) = state
        .readiness
        .public_keys()
        .ok_or_else(|| ServiceError::Unavailable("no signing key is loaded".to_owned()))?;
    // A new key is published at least as long before it signs.
    Ok(([(CACHE_CONTROL, format!("public, max-age={max_age}"))], Json(set)).into_response())
}
