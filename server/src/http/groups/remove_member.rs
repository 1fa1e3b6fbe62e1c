//! `DELETE /api/v1/groups/{name}/members/{id}`

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;

use super::group::MemberPath;
use crate::domain::Permission;
use crate::http::bearer::AnyEndingBearer;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{NotFoundProblem, PermissionProblems, QueryProblems, UnavailableProblem};
use crate::http::query::QueryFields;
use crate::http::state::ApiState;
use crate::service;

/// Remove a member from a group
///
/// Requires the permission `groups.manage`, and every permission that the group holds; with `end_sessions=true` also every
/// permission that the account has. Removing an account that is no member succeeds. Permissions of the group are missing from
/// the next request of the account on; tokens that name the group stay valid, unless `end_sessions=true` ends all sessions of
/// the account: once this has been answered, every replica refuses its tokens.
#[utoipa::path(
    delete, path = "/api/v1/groups/{name}/members/{id}", tag = "groups", operation_id = "remove_member",
    security(("bearer" = []), ("password" = [])),
    params(
        ("name" = String, Path, description = "The name of the group; a slash in it is `%2F`"),
        ("id" = i64, Path, description = "The id of the account"),
        ("end_sessions" = Option<bool>, Query, description = "Whether all sessions of the account end; false by default"),
    ),
    responses(
        (status = 204, description = "The account is no member"),
        QueryProblems, PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn remove_member(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AnyEndingBearer(bearer): AnyEndingBearer,
    path: MemberPath,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::GroupsManage).await?;
    let mut fields = QueryFields::parse(query.as_deref(), &["end_sessions"])?;
    let end_sessions = fields.flag("end_sessions").unwrap_or_default();
    fields.finish()?;
    service::remove_member(&state.service, &permitted, path.member()?, end_sessions, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
