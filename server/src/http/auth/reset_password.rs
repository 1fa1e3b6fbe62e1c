//! `POST /api/v1/auth/reset-password`

use axum::Json;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::password_recovery::MessageBody;
use crate::domain::Password;
use crate::http::body::{ApiJson, JsonBody};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{JsonProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// The token of the mailed link and the password to set.
#[derive(Deserialize, ToSchema)]
pub struct ResetPasswordBody {
    /// The token of the link.
    token: String,
    /// 8 to 256 characters (a setting may require more than 8).
    #[schema(format = Password, min_length = 8, max_length = 256)]
    new_password: String,
}

impl JsonBody for ResetPasswordBody {
    const REQUIRED: &'static [&'static str] = &["token", "new_password"];
    const OPTIONAL: &'static [&'static str] = &[];
}

/// Set a password with a link sent by e-mail
///
/// Sets a new password, or the first one of an invited account. Ends every session of the account and starts none. Sets
/// the cookie `latchkey_device`, with which the browser can log in while an attacker exhausts the account's rate limit. The
/// token is used up only on success; an invalid token is a 422 for the field `token`.
#[utoipa::path(
    post, path = "/api/v1/auth/reset-password", tag = "auth", operation_id = "reset_password",
    request_body = ResetPasswordBody,
    responses(
        (status = 200, description = "The password was changed", body = MessageBody,
         headers(("set-cookie" = String, description = "latchkey_device"))),
        JsonProblems, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn reset_password(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    ApiJson(body): ApiJson<ResetPasswordBody>,
) -> Result<Response, Problem> {
    let new_password = Password::presented(body.new_password);
    let device = service::reset_password(&state.service, &body.token, new_password, &origin).await?;
    let cookie = state.remember_device(&device)?;
    Ok(([(SET_COOKIE, cookie)], Json(MessageBody { message: "Password updated successfully." }))
        .into_response())
}
