//! `POST /api/v1/auth/reset-password`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::password_recovery::MessageBody;
use crate::domain::Password;
use crate::http::body::{ApiJson, JsonBody};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::state::ApiState;
use crate::service;

/// The token of the mailed link and the password to set.
#[derive(Deserialize, ToSchema)]
pub struct ResetPasswordBody {
    /// As it stands in the link.
    token: String,
    /// 8 to 256 characters.
    #[schema(format = Password, min_length = 8, max_length = 256)]
    new_password: String,
}

impl JsonBody for ResetPasswordBody {
    const REQUIRED: &'static [&'static str] = &["token", "new_password"];
    const OPTIONAL: &'static [&'static str] = &[];
}

/// Set a new password by a mailed link
///
/// Ends every session of the account. The token is used up only when it succeeds.
#[utoipa::path(
    post, path = "/api/v1/auth/reset-password", tag = "auth", operation_id = "reset_password",
    request_body = ResetPasswordBody,
    responses(
        (status = 200, description = "The password was changed", body = MessageBody),
        (status = 400, description = "Unreadable", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The token is not good, or the password is refused", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Overloaded, or a dependency is down", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn reset_password(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    ApiJson(body): ApiJson<ResetPasswordBody>,
) -> Result<Json<MessageBody>, Problem> {
    let new_password = Password::presented(body.new_password);
    service::reset_password(&state.service, &body.token, new_password, &origin).await?;
    Ok(Json(MessageBody { message: "Password updated successfully." }))
}
