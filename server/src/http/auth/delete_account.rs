//! `DELETE /api/v1/auth/me`

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::Password;
use crate::http::bearer::EndingBearer;
use crate::http::body::{ApiJson, JsonBody};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{BearerProblems, JsonProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// What shows that the owner asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteAccountBody {
    /// The account's password.
    #[schema(format = Password)]
    password: String,
}

impl JsonBody for DeleteAccountBody {
    const REQUIRED: &'static [&'static str] = &["password"];
    const OPTIONAL: &'static [&'static str] = &[];
}

/// Delete the current user's account
///
/// Deletes its sessions and all its other data too. A notice is sent by e-mail. A wrong password is a 422 for the field
/// `password`.
#[utoipa::path(
    delete, path = "/api/v1/auth/me", tag = "auth", operation_id = "delete_account",
    security(("bearer" = []), ("password" = [])),
    request_body = DeleteAccountBody,
    responses(
        (status = 204, description = "The account was deleted",
         headers(("set-cookie" = String, description = "clears refresh_token"))),
        (status = 403, description = "Self-service deletion is disabled", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The last active superuser", body = ProblemBody, content_type = "application/problem+json"),
        JsonProblems, BearerProblems, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn delete_account(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    EndingBearer(bearer): EndingBearer,
    body: Result<ApiJson<DeleteAccountBody>, Problem>,
) -> Result<Response, Problem> {
    service::check_account_deletion_enabled(&state.service)?;
    let ApiJson(body) = body?;
    let password = Password::presented(body.password);
    service::delete_account(&state.service, bearer, password, &origin).await?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, state.clear_cookie()?)]).into_response())
}
