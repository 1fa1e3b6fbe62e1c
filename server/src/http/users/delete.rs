//! `DELETE /api/v1/users/{id}`

use axum::extract::State;
use axum::http::StatusCode;

use super::account::UserId;
use crate::domain::Permission;
use crate::http::bearer::AnyEndingBearer;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{NotFoundProblem, PermissionProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// Delete an account
///
/// Requires the permission `users.write`, and every permission that the account has. Its sessions end; its audit events stay.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}", tag = "users", operation_id = "delete_user",
    security(("bearer" = []), ("password" = [])),
    params(("id" = i64, Path, description = "The id of the account")),
    responses(
        (status = 204, description = "The account was deleted"),
        (status = 409, description = "This is the last superuser", body = ProblemBody, content_type = "application/problem+json"),
        PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn delete_user(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AnyEndingBearer(bearer): AnyEndingBearer,
    user_id: UserId,
) -> Result<StatusCode, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::UsersWrite).await?;
    service::delete_user(&state.service, &permitted, user_id.get()?, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
