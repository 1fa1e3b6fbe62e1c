//! `POST /api/v1/auth/logout-all`

use axum::Json;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};

use super::password_recovery::MessageBody;
use crate::http::bearer::EndingBearer;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{BearerProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// Log out everywhere
///
/// Ends every session of the account, including the current one, and clears the cookie.
#[utoipa::path(
    post, path = "/api/v1/auth/logout-all", tag = "auth", operation_id = "logout_all",
    security(("bearer" = []), ("password" = [])),
    responses(
        (status = 200, description = "Every session has ended", body = MessageBody,
         headers(("set-cookie" = String, description = "clears refresh_token"))),
        BearerProblems, UnavailableProblem,
    )
)]
pub async fn logout_all(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    EndingBearer(bearer): EndingBearer,
) -> Result<Response, Problem> {
    service::logout_all(&state.service, bearer, &origin).await?;
    let body = MessageBody { message: "Logged out everywhere." };
    Ok(([(SET_COOKIE, state.clear_cookie()?)], Json(body)).into_response())
}
