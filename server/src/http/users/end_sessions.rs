//! `DELETE /api/v1/users/{id}/sessions`

use axum::extract::State;
use axum::http::StatusCode;

use super::account::UserId;
use crate::domain::Permission;
use crate::http::bearer::AnyEndingBearer;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{NotFoundProblem, PermissionProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// End all sessions of an account
///
/// Requires the permission `users.write`, and every permission that the account has. Once this has been answered, every
/// replica refuses the account's tokens.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/sessions", tag = "users", operation_id = "end_user_sessions",
    security(("bearer" = []), ("password" = [])),
    params(("id" = i64, Path, description = "The id of the account")),
    responses(
        (status = 204, description = "The sessions have ended"),
        PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn end_user_sessions(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AnyEndingBearer(bearer): AnyEndingBearer,
    user_id: UserId,
) -> Result<StatusCode, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::UsersWrite).await?;
    service::end_user_sessions(&state.service, &permitted, user_id.get()?, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
