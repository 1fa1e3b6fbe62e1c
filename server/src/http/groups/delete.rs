//! `DELETE /api/v1/groups/{name}`

use axum::extract::State;
use axum::http::StatusCode;

use super::group::MemberPath;
use crate::domain::Permission;
use crate::http::bearer::AnyBearer;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{NotFoundProblem, PermissionProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// Delete a group
///
/// Requires the permission `groups.manage`, and every permission that the group holds. The accounts of its members stay. A
/// permission of the group is missing from the next request of each member on.
#[utoipa::path(
    delete, path = "/api/v1/groups/{name}", tag = "groups", operation_id = "delete_group",
    security(("bearer" = []), ("password" = [])),
    params(("name" = String, Path, description = "The name of the group; a slash in it is `%2F`")),
    responses(
        (status = 204, description = "The group was deleted"),
        PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn delete_group(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AnyBearer(bearer): AnyBearer,
    path: MemberPath,
) -> Result<StatusCode, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::GroupsManage).await?;
    service::delete_group(&state.service, &permitted, path.group()?, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
