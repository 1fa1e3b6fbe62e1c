//! `POST /api/v1/groups`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::group::GroupBody;
use super::names::PermissionName;
use crate::domain::Permission;
use crate::http::bearer::AnyBearer;
use crate::http::body::{ApiJson, JsonBody, given};
use crate::http::middleware::RequestOrigin;
use crate::http::prefix::path_of;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{JsonProblems, PermissionProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, GroupForm};

/// Of the characters of a name, only the slash has a meaning in a path.
const IN_PATH: AsciiSet = CONTROLS.add(b'/');

/// The group to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateGroupBody {
    /// 1 to 128 letters, digits, `.`, `_`, `-`, `:` or `/`, with a letter, a digit or `_` after each slash; unique without
    /// regard to case. It must not begin with `system:`.
    #[schema(
        example = "support",
        min_length = 1,
        max_length = 128,
        pattern = "^/?[A-Za-z0-9_][A-Za-z0-9._:-]*(/[A-Za-z0-9_][A-Za-z0-9._:-]*)*$"
    )]
    name: String,
    /// What the group is for; at most 500 characters.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "Helps customers", max_length = 500)]
    description: Option<String>,
    /// The administrative permissions of the members. Only superusers grant any.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<Vec<PermissionName>>, inline)]
    permissions: Option<Vec<String>>,
}

impl JsonBody for CreateGroupBody {
    const REQUIRED: &'static [&'static str] = &["name"];
    const OPTIONAL: &'static [&'static str] = &["description", "permissions"];
}

/// Create a group
///
/// Requires the permission `groups.manage`; only a superuser grants permissions.
#[utoipa::path(
    post, path = "/api/v1/groups", tag = "groups", operation_id = "create_group",
    security(("bearer" = []), ("password" = [])),
    request_body = CreateGroupBody,
    responses(
        (status = 201, description = "The group", body = GroupBody,
         headers(("location" = String, description = "Path of the group"))),
        (status = 409, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
        JsonProblems, PermissionProblems, UnavailableProblem,
    )
)]
pub async fn create_group(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AnyBearer(bearer): AnyBearer,
    body: Result<ApiJson<CreateGroupBody>, Problem>,
) -> Result<Response, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::GroupsManage).await?;
    let ApiJson(body) = body?;
    let form = GroupForm {
        name: body.name,
        description: body.description.unwrap_or_default(),
        permissions: body.permissions.unwrap_or_default(),
    };
    let group = service::create_group(&state.service, &permitted, form, &origin).await?;
    let name = utf8_percent_encode(&group.name, &IN_PATH);
    let location = format!("{}/api/v1/groups/{name}", path_of(state.service.issuer()));
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(GroupBody::from(group))).into_response())
}
