//! `GET /api/v1/users/{id}`

use axum::extract::State;
use axum::response::Response;

use super::account::{AccountBody, UserId, show};
use crate::http::bearer::Bearer;
use crate::http::problem::Problem;
use crate::http::problem_docs::{NotFoundProblem, SuperuserProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// Get an account
///
/// For superusers.
#[utoipa::path(
    get, path = "/api/v1/users/{id}", tag = "users", operation_id = "read_user",
    security(("bearer" = []), ("password" = [])),
    params(("id" = i64, Path, description = "The id of the account")),
    responses(
        (status = 200, description = "The account", body = AccountBody),
        SuperuserProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn read_user(
    State(state): State<ApiState>,
    Bearer(bearer): Bearer,
    user_id: UserId,
) -> Result<Response, Problem> {
    let superuser = service::require_superuser(&state.service, bearer).await?;
    Ok(show(service::show_user(&state.service, superuser, user_id.get()?).await?))
}
