//! `GET /api/v1/groups`

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};

use super::group::{GroupBody, GroupsBody};
use crate::domain::group_name::MAX_GROUP_NAME_CHARS;
use crate::domain::{NamePrefix, Permission};
use crate::http::bearer::AnyBearer;
use crate::http::problem::Problem;
use crate::http::problem_docs::{PermissionProblems, QueryProblems, UnavailableProblem};
use crate::http::query::{QueryFields, encode_cursor};
use crate::http::state::ApiState;
use crate::service::{self, Page};
use crate::store::GroupQuery;

const PARAMETERS: [&str; 3] = ["search", "limit", "cursor"];

/// List groups
///
/// Requires the permission `groups.manage`. Ordered by id. To get the next page, repeat the request with `cursor` set to
/// `next_cursor` of the response.
#[utoipa::path(
    get, path = "/api/v1/groups", tag = "groups", operation_id = "list_groups",
    security(("bearer" = []), ("password" = [])),
    params(
        ("search" = Option<String>, Query, description = "A prefix of the name, compared without regard to case", max_length = 128),
        ("limit" = Option<i64>, Query, description = "The page size; 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page", pattern = "^[A-Za-z0-9_-]{11}$"),
    ),
    responses(
        (status = 200, description = "The groups", body = GroupsBody),
        QueryProblems, PermissionProblems, UnavailableProblem,
    )
)]
pub async fn list_groups(
    State(state): State<ApiState>,
    AnyBearer(bearer): AnyBearer,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::GroupsManage).await?;
    let page = match read(query.as_deref())? {
        Some(query) => service::list_groups(&state.service, &permitted, query).await?,
        None => Page { items: Vec::new(), next: None },
    };
    let body = GroupsBody {
        next_cursor: page.next.map(encode_cursor),
        groups: page.items.into_iter().map(GroupBody::from).collect(),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// `None` when nothing can be found.
fn read(query: Option<&str>) -> Result<Option<GroupQuery>, Problem> {
    let mut fields = QueryFields::parse(query, &PARAMETERS)?;
    let search = fields.read("search", "must have at most 128 characters", |text| {
        (text.chars().count() <= MAX_GROUP_NAME_CHARS).then(|| NamePrefix::build(text))
    });
    let query = GroupQuery {
        // Every name begins with nothing.
        prefix: search.clone().flatten().filter(|prefix| !prefix.from.is_empty()),
        after: fields.cursor(),
        limit: fields.limit(),
    };
    fields.finish()?;
    Ok((search != Some(None)).then_some(query))
}
