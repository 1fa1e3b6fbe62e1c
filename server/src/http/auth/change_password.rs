//! `POST /api/v1/auth/me/password`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::password_recovery::MessageBody;
use crate::domain::Password;
use crate::http::bearer::EndingBearer;
use crate::http::body::{ApiJson, JsonBody};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{BearerProblems, JsonProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, PasswordForm};

/// The password of now and the one to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePasswordBody {
    /// The current password.
    #[schema(format = Password)]
    current_password: String,
    /// 8 to 256 characters (a setting may require more than 8); neither a common password nor one of the account's own names.
    #[schema(format = Password, min_length = 8, max_length = 256)]
    new_password: String,
    /// Whether the other sessions stay active; by default they end.
    #[serde(default)]
    keep_other_sessions: bool,
}

impl JsonBody for ChangePasswordBody {
    const REQUIRED: &'static [&'static str] = &["current_password", "new_password"];
    const OPTIONAL: &'static [&'static str] = &["keep_other_sessions"];
}

/// Change the current user's password
///
/// The current session continues. A wrong current password is a 422 for the field `current_password`, not a 401, since the
/// access token is valid. A notice is sent by e-mail.
#[utoipa::path(
    post, path = "/api/v1/auth/me/password", tag = "auth", operation_id = "change_password",
    security(("bearer" = []), ("password" = [])),
    request_body = ChangePasswordBody,
    responses(
        (status = 200, description = "The password was changed", body = MessageBody),
        JsonProblems, BearerProblems, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn change_password(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    EndingBearer(bearer): EndingBearer,
    ApiJson(body): ApiJson<ChangePasswordBody>,
) -> Result<Json<MessageBody>, Problem> {
    let form = PasswordForm {
        current_password: Password::presented(body.current_password),
        new_password: Password::presented(body.new_password),
        keep_other_sessions: body.keep_other_sessions,
    };
    service::change_password(&state.service, bearer, form, &origin).await?;
    Ok(Json(MessageBody { message: "Password updated successfully." }))
}
