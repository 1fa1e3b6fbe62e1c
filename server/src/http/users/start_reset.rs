//! `POST /api/v1/users/{id}/password-reset`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::account::UserId;
use crate::domain::Permission;
use crate::http::auth::password_recovery::MessageBody;
use crate::http::bearer::AnyBearer;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{NotFoundProblem, PermissionProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// Start a password reset for an account
///
/// Requires the permission `users.write`, and every permission that the account has. Sends the owner a link to choose a
/// password: an invitation if the account has none yet.
#[utoipa::path(
    post, path = "/api/v1/users/{id}/password-reset", tag = "users", operation_id = "start_user_reset",
    security(("bearer" = []), ("password" = [])),
    params(("id" = i64, Path, description = "The id of the account")),
    responses(
        (status = 202, description = "The e-mail is queued", body = MessageBody),
        (status = 409, description = "The account is deactivated", body = ProblemBody, content_type = "application/problem+json"),
        PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn start_user_reset(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AnyBearer(bearer): AnyBearer,
    user_id: UserId,
) -> Result<(StatusCode, Json<MessageBody>), Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::UsersWrite).await?;
    service::start_user_reset(&state.service, &permitted, user_id.get()?, &origin).await?;
    Ok((StatusCode::ACCEPTED, Json(MessageBody { message: "Password recovery email sent." })))
}
