//! `GET /api/v1/users`

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::account::AccountBody;
use crate::domain::{EmailAddress, NamePrefix, Permission};
use crate::http::bearer::AnyBearer;
use crate::http::problem::Problem;
use crate::http::problem_docs::{PermissionProblems, QueryProblems, UnavailableProblem};
use crate::http::query::{QueryFields, encode_cursor};
use crate::http::state::ApiState;
use crate::service::{self, Page};
use crate::store::AccountQuery;

const PARAMETERS: [&str; 6] = ["search", "is_active", "is_superuser", "verified", "limit", "cursor"];

/// A page of accounts.
#[derive(Serialize, ToSchema)]
pub struct AccountsBody {
    /// The accounts, by id.
    users: Vec<AccountBody>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List accounts
///
/// Requires the permission `users.read`. Ordered by id. To get the next page, repeat the request with `cursor` set to
/// `next_cursor` of the response.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", operation_id = "list_users",
    security(("bearer" = []), ("password" = [])),
    params(
        ("search" = Option<String>, Query, description = "A prefix of the username, address or name, compared without regard to case", max_length = 254),
        ("is_active" = Option<bool>, Query, description = "Whether the account is active"),
        ("is_superuser" = Option<bool>, Query, description = "Whether the account is a superuser"),
        ("verified" = Option<bool>, Query, description = "Whether the address is verified"),
        ("limit" = Option<i64>, Query, description = "The page size; 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page", pattern = "^[A-Za-z0-9_-]{11}$"),
    ),
    responses(
        (status = 200, description = "The accounts", body = AccountsBody),
        QueryProblems, PermissionProblems, UnavailableProblem,
    )
)]
pub async fn list_users(
    State(state): State<ApiState>,
    AnyBearer(bearer): AnyBearer,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::UsersRead).await?;
    let page = match read(query.as_deref())? {
        Some(query) => service::list_users(&state.service, &permitted, query).await?,
        None => Page { items: Vec::new(), next: None },
    };
    let body = AccountsBody {
        next_cursor: page.next.map(encode_cursor),
        users: page.items.into_iter().map(AccountBody::from).collect(),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// `None` when nothing can be found.
fn read(query: Option<&str>) -> Result<Option<AccountQuery>, Problem> {
    const MAX_SEARCH: usize = 254;
    let mut fields = QueryFields::parse(query, &PARAMETERS)?;
    let search = fields.read("search", "must have at most 254 characters", |text| {
        // A whole address is found in any spelling of its domain.
        let address = EmailAddress::parse(text);
        let text = address.as_ref().map_or(text, EmailAddress::as_str);
        (text.chars().count() <= MAX_SEARCH).then(|| NamePrefix::build(text))
    });
    let query = AccountQuery {
        // Everybody's name begins with nothing.
        prefix: search.clone().flatten().filter(|prefix| !prefix.from.is_empty()),
        is_active: fields.flag("is_active"),
        is_superuser: fields.flag("is_superuser"),
        verified: fields.flag("verified"),
        after: fields.cursor(),
        limit: fields.limit(),
    };
    fields.finish()?;
    Ok((search != Some(None)).then_some(query))
}
