//! `GET /api/v1/users/{id}/groups`

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};

use super::account::UserId;
use crate::domain::Permission;
use crate::http::bearer::AnyBearer;
use crate::http::groups::group::{GroupBody, GroupsBody};
use crate::http::problem::Problem;
use crate::http::problem_docs::{NotFoundProblem, PermissionProblems, QueryProblems, UnavailableProblem};
use crate::http::query::{encode_cursor, read_page};
use crate::http::state::ApiState;
use crate::service;
use crate::store::MembershipQuery;

/// List the groups of an account
///
/// Requires the permission `users.read`. Ordered by id. To get the next page, repeat the request with `cursor` set to
/// `next_cursor` of the response.
#[utoipa::path(
    get, path = "/api/v1/users/{id}/groups", tag = "users", operation_id = "list_user_groups",
    security(("bearer" = []), ("password" = [])),
    params(
        ("id" = i64, Path, description = "The id of the account"),
        ("limit" = Option<i64>, Query, description = "The page size; 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page", pattern = "^[A-Za-z0-9_-]{11}$"),
    ),
    responses(
        (status = 200, description = "The groups", body = GroupsBody),
        QueryProblems, PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn list_user_groups(
    State(state): State<ApiState>,
    AnyBearer(bearer): AnyBearer,
    user_id: UserId,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::UsersRead).await?;
    let (after, limit) = read_page(query.as_deref())?;
    let query = MembershipQuery { after, limit };
    let page = service::list_user_groups(&state.service, &permitted, user_id.get()?, query).await?;
    let body = GroupsBody {
        next_cursor: page.next.map(encode_cursor),
        groups: page.items.into_iter().map(GroupBody::from).collect(),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}
