//! `GET /api/v1/users/{id}`

use axum::extract::State;
use axum::response::Response;

use super::account::{AccountBody, UserId, show};
use crate::domain::Permission;
use crate::http::bearer::AnyBearer;
use crate::http::problem::Problem;
use crate::http::problem_docs::{NotFoundProblem, PermissionProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// Get an account
///
/// Requires the permission `users.read`.
#[utoipa::path(
    get, path = "/api/v1/users/{id}", tag = "users", operation_id = "read_user",
    security(("bearer" = []), ("password" = [])),
    params(("id" = i64, Path, description = "The id of the account")),
    responses(
        (status = 200, description = "The account", body = AccountBody),
        PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn read_user(
    State(state): State<ApiState>,
    AnyBearer(bearer): AnyBearer,
    user_id: UserId,
) -> Result<Response, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::UsersRead).await?;
    Ok(show(service::show_user(&state.service, &permitted, user_id.get()?).await?))
}
