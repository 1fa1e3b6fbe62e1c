//! `POST /api/v1/auth/password-recovery/{email}`

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::cookie;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{LimitedProblem, QueryProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// A sentence for a person.
#[derive(Serialize, ToSchema)]
pub struct MessageBody {
    /// The message.
    pub message: &'static str,
}

/// Request a password reset by e-mail
///
/// The response is the same whether or not an account has the address, and 503 if e-mail is off.
#[utoipa::path(
    post, path = "/api/v1/auth/password-recovery/{email}", tag = "auth", operation_id = "recover_password",
    params(("email" = String, Path, description = "The address", example = "john@example.com")),
    responses(
        (status = 200, description = "An e-mail is sent if an account has the address", body = MessageBody),
        QueryProblems, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn recover_password(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    email: Result<Path<String>, PathRejection>,
) -> Result<Json<MessageBody>, Problem> {
    let Path(email) = email
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "The address in the path is not valid UTF-8."))?;
    service::recover_password(&state.service, &email, cookie::device(&headers), &origin).await?;
    Ok(Json(MessageBody { message: "Password recovery email sent." }))
}
