//! `POST /api/v1/auth/refresh`

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::Utc;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::bearer::bearer_token;
use crate::http::body::{ApiJson, JsonBody};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{JsonProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::http::token_pair;
use crate::service::{self, AdmittedClient};

/// The refresh token as login gave it.
#[derive(Deserialize, ToSchema)]
pub struct RefreshBody {
    /// The JWT.
    token: String,
    /// Optional and ignored.
    #[serde(rename = "expires_in")]
    _expires_in: Option<i64>,
    /// Optional and ignored.
    #[serde(rename = "token_type")]
    _token_type: Option<String>,
}

impl JsonBody for RefreshBody {
    const REQUIRED: &'static [&'static str] = &["token"];
    const OPTIONAL: &'static [&'static str] = &["expires_in", "token_type"];
}

/// Exchange a refresh token for a new pair of tokens
///
/// Requires the access token of the same session as the bearer token; it may have expired but must not be revoked. Each
/// refresh token is valid for one exchange; within 10 seconds of it the same token may be presented again.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", operation_id = "refresh",
    security(("bearer" = []), ("password" = [])),
    request_body = RefreshBody,
    responses(
        (status = 200, description = "A new pair", body = token_pair::TokenPairBody,
         headers(("set-cookie" = String, description = "refresh_token"))),
        JsonProblems,
        (status = 401, description = "A token is not valid", body = ProblemBody, content_type = "application/problem+json"),
        UnavailableProblem,
    )
)]
pub async fn refresh(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    body: Result<ApiJson<RefreshBody>, Problem>,
) -> Result<Response, Problem> {
    // Who is not logged in is told so before what is wrong with the body.
    let bearer = bearer_token(&headers)?;
    let ApiJson(body) = body?;
    let pair = service::refresh(
        &state.service,
        &body.token,
        Some(bearer),
        (AdmittedClient::none(), ""),
        &origin,
        Utc::now(),
    )
    .await?;
    token_pair::answer(state.cookies(), pair)
}
