//! `PATCH /api/v1/groups/{name}`

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::group::{GroupBody, MemberPath, show};
use super::names::PermissionName;
use crate::domain::Permission;
use crate::http::bearer::AnyBearer;
use crate::http::body::{ApiJson, JsonBody, given};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{JsonProblems, NotFoundProblem, PermissionProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, GroupChangeForm};

/// What is to be different; what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeGroupBody {
    /// The new name, unique without regard to case. Applications see it in new tokens.
    #[serde(default, deserialize_with = "given")]
    #[schema(
        nullable = false,
        example = "support",
        min_length = 1,
        max_length = 128,
        pattern = "^/?[A-Za-z0-9_][A-Za-z0-9._:-]*(/[A-Za-z0-9_][A-Za-z0-9._:-]*)*$"
    )]
    name: Option<String>,
    /// What the group is for; at most 500 characters.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "Helps customers", max_length = 500)]
    description: Option<String>,
    /// All administrative permissions that the members are to have. Only superusers change them.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<Vec<PermissionName>>, inline)]
    permissions: Option<Vec<String>>,
}

impl JsonBody for ChangeGroupBody {
    const REQUIRED: &'static [&'static str] = &[];
    const OPTIONAL: &'static [&'static str] = &["name", "description", "permissions"];
}

/// Update a group
///
/// Requires the permission `groups.manage`, and every permission that the group holds. Only a superuser changes the
/// permissions of a group. A permission that is withdrawn is missing from the next request of each member on.
#[utoipa::path(
    patch, path = "/api/v1/groups/{name}", tag = "groups", operation_id = "change_group",
    security(("bearer" = []), ("password" = [])),
    params(("name" = String, Path, description = "The name of the group; a slash in it is `%2F`")),
    request_body = ChangeGroupBody,
    responses(
        (status = 200, description = "The updated group", body = GroupBody),
        (status = 409, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
        JsonProblems, PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn change_group(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AnyBearer(bearer): AnyBearer,
    path: MemberPath,
    body: Result<ApiJson<ChangeGroupBody>, Problem>,
) -> Result<Response, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::GroupsManage).await?;
    let ApiJson(body) = body?;
    let form =
        GroupChangeForm { name: body.name, description: body.description, permissions: body.permissions };
    Ok(show(service::change_group(&state.service, &permitted, path.group()?, form, &origin).await?))
}
