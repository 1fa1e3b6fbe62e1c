//! `POST /api/v1/auth/revoke`

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::introspect::TokenQueryForm;
use crate::http::client_auth::authenticated_form;
use crate::http::form::UrlEncodedForm;
use crate::http::middleware::RequestOrigin;
use crate::http::oauth::oauth_problem;
use crate::http::problem::Problem;
use crate::http::problem_docs::{ClientProblems, FormProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// Revoke a token
///
/// RFC 7009. Ends the session of an access or refresh token: no replica accepts its tokens any more when this is
/// answered. Also answers 200 for what is no token of ours. For programs, as at `/introspect`; people log out.
#[utoipa::path(
    post, path = "/api/v1/auth/revoke", tag = "programs", operation_id = "revoke",
    security(("client" = []), ("bearer" = []), ("password" = [])),
    request_body(content = TokenQueryForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token is good for nothing, if it ever was"),
        FormProblems, ClientProblems, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn revoke(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    form: Result<UrlEncodedForm, Problem>,
) -> Result<Response, Problem> {
    let (client, form) = authenticated_form(&state, &headers, &origin, form).await?;
    let [token] = form.require(["token"]).map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    service::revoke_token(&state.service, client, token, &origin).await.map_err(oauth_problem)?;
    Ok((StatusCode::OK, [(CACHE_CONTROL, "no-store")]).into_response())
}
