//! `GET /api/v1/groups/{name}`

use axum::extract::State;
use axum::response::Response;

use super::group::{GroupBody, MemberPath, show};
use crate::domain::Permission;
use crate::http::bearer::AnyBearer;
use crate::http::problem::Problem;
use crate::http::problem_docs::{NotFoundProblem, PermissionProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// Get a group
///
/// Requires the permission `groups.manage`.
#[utoipa::path(
    get, path = "/api/v1/groups/{name}", tag = "groups", operation_id = "read_group",
    security(("bearer" = []), ("password" = [])),
    params(("name" = String, Path, description = "The name of the group; a slash in it is `%2F`")),
    responses(
        (status = 200, description = "The group", body = GroupBody),
        PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn read_group(
    State(state): State<ApiState>,
    AnyBearer(bearer): AnyBearer,
    path: MemberPath,
) -> Result<Response, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::GroupsManage).await?;
    Ok(show(service::show_group(&state.service, &permitted, path.group()?).await?))
}
