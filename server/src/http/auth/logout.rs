//! `POST /api/v1/auth/logout`

use axum::Json;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use super::password_recovery::MessageBody;
use crate::http::bearer::UncheckedBearer;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{BearerProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// Log out
///
/// Ends the session of the access token, revokes its access and refresh tokens on every replica, and clears the cookie. After
/// a 503 the session may not have ended.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "auth", operation_id = "logout",
    security(("bearer" = []), ("password" = [])),
    responses(
        (status = 200, description = "The session has ended", body = MessageBody,
         headers(("set-cookie" = String, description = "clears refresh_token"))),
        BearerProblems, UnavailableProblem,
    )
)]
pub async fn logout(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    UncheckedBearer(token): UncheckedBearer,
) -> Result<Response, Problem> {
    service::logout(&state.service, &token, &origin, Utc::now()).await?;
    Ok(([(SET_COOKIE, state.clear_cookie()?)], Json(MessageBody { message: "Logged out successfully." }))
        .into_response())
}
