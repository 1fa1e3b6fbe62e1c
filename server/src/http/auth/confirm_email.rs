//! `POST /api/v1/auth/confirm-email`

use axum::Json;
use axum::extract::State;

use super::password_recovery::MessageBody;
use super::verify_email::LinkTokenBody;
use crate::http::body::ApiJson;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{JsonProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// Confirm a change of e-mail address
///
/// Every other link of the account becomes void, and a notice is sent to the old address. An invalid token is a 422 for
/// the field `token`.
#[utoipa::path(
    post, path = "/api/v1/auth/confirm-email", tag = "auth", operation_id = "confirm_email",
    request_body = LinkTokenBody,
    responses(
        (status = 200, description = "The address was changed", body = MessageBody),
        JsonProblems, UnavailableProblem,
    )
)]
pub async fn confirm_email(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    ApiJson(body): ApiJson<LinkTokenBody>,
) -> Result<Json<MessageBody>, Problem> {
    service::confirm_email_change(&state.service, &body.token, &origin).await?;
    Ok(Json(MessageBody { message: "E-mail address changed." }))
}
