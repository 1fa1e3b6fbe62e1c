//! `GET /api/v1/groups/{name}/members`

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::group::MemberPath;
use crate::domain::Permission;
use crate::http::bearer::AnyBearer;
use crate::http::problem::Problem;
use crate::http::problem_docs::{NotFoundProblem, PermissionProblems, QueryProblems, UnavailableProblem};
use crate::http::query::{encode_cursor, read_page};
use crate::http::state::ApiState;
use crate::service;
use crate::store::{Member, MembershipQuery};

/// A member of a group.
#[derive(Serialize, ToSchema)]
pub struct MemberBody {
    /// The id of the account.
    #[schema(example = 1)]
    id: i64,
    /// The username.
    #[schema(example = "john")]
    username: String,
    /// The user's full name.
    #[schema(example = "John Doe")]
    name: String,
    /// Whether the account may log in.
    #[schema(example = true)]
    is_active: bool,
    /// When the account became a member.
    since: DateTime<Utc>,
}

/// A page of members.
#[derive(Serialize, ToSchema)]
pub struct MembersBody {
    /// The members, by id.
    members: Vec<MemberBody>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<Member> for MemberBody {
    fn from(member: Member) -> Self {
        let Member { id, username, name, is_active, since } = member;
        Self { id, username, name, is_active, since }
    }
}

/// List the members of a group
///
/// Requires the permission `groups.manage`. Ordered by id. To get the next page, repeat the request with `cursor` set to
/// `next_cursor` of the response.
#[utoipa::path(
    get, path = "/api/v1/groups/{name}/members", tag = "groups", operation_id = "list_members",
    security(("bearer" = []), ("password" = [])),
    params(
        ("name" = String, Path, description = "The name of the group; a slash in it is `%2F`"),
        ("limit" = Option<i64>, Query, description = "The page size; 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page", pattern = "^[A-Za-z0-9_-]{11}$"),
    ),
    responses(
        (status = 200, description = "The members", body = MembersBody),
        QueryProblems, PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn list_members(
    State(state): State<ApiState>,
    AnyBearer(bearer): AnyBearer,
    path: MemberPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::GroupsManage).await?;
    let (after, limit) = read_page(query.as_deref())?;
    let query = MembershipQuery { after, limit };
    let page = service::list_members(&state.service, &permitted, path.group()?, query).await?;
    let body = MembersBody {
        next_cursor: page.next.map(encode_cursor),
        members: page.items.into_iter().map(MemberBody::from).collect(),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}
