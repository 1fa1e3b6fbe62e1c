//! `PUT /api/v1/groups/{name}/members/{id}`

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

/// Add a member to a group
///
/// Requires the permission `groups.manage`, and every permission that the group holds. Adding a member again changes nothing.
#[utoipa::path(
    put, path = "/api/v1/groups/{name}/members/{id}", tag = "groups", operation_id = "add_member",
    security(("bearer" = []), ("password" = [])),
    params(
        ("name" = String, Path, description = "The name of the group; a slash in it is `%2F`"),
        ("id" = i64, Path, description = "The id of the account"),
    ),
    responses(
        (status = 201, description = "The account is a member now"),
        (status = 204, description = "The account was a member already"),
        PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn add_member(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AnyBearer(bearer): AnyBearer,
    path: MemberPath,
) -> Result<StatusCode, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::GroupsManage).await?;
    let is_new = service::add_member(&state.service, &permitted, path.member()?, &origin).await?;
    Ok(if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
}
