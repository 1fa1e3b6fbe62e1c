//! `POST /api/v1/auth/revoke`

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use crate::http::client_auth::{TokenQueryForm, authenticate_query};
use crate::http::form::UrlEncodedForm;
use crate::http::middleware::RequestOrigin;
use crate::http::oauth::oauth_problem;
use crate::http::problem::Problem;
use crate::http::problem_docs::{ClientProblems, FormProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// Revoke a token
///
/// RFC 7009. Ends the session of an access or refresh token, or revokes a client's token: once this has been answered, no
/// replica accepts it. Unknown tokens are answered with 200 too. For programs, as `/introspect`; a registered client revokes
/// tokens that were issued to it, others are `unauthorized_client`. Users log out.
#[utoipa::path(
    post, path = "/api/v1/auth/revoke", tag = "programs", operation_id = "revoke",
    security(("client" = []), ("bearer" = []), ("password" = [])),
    request_body(content = TokenQueryForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token is revoked or was never valid"),
        FormProblems, ClientProblems, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn revoke(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    form: Result<UrlEncodedForm<TokenQueryForm>, Problem>,
) -> Result<Response, Problem> {
    let (client, token) = authenticate_query(&state, &headers, &origin, form).await?;
    let revoked = service::revoke_token(&state.service, client, &token, &origin, Utc::now()).await;
    revoked.map_err(oauth_problem)?;
    Ok((StatusCode::OK, [(CACHE_CONTROL, "no-store")]).into_response())
}
