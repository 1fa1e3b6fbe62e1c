//! `PATCH /api/v1/users/{id}`

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::account::{AccountBody, UserId, show};
use crate::domain::Permission;
use crate::http::bearer::AnyEndingBearer;
use crate::http::body::{ApiJson, JsonBody, given};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{JsonProblems, NotFoundProblem, PermissionProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, UserChangeForm};

/// What is to be different; what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeUserBody {
    /// The user's full name.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "John Doe", min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The address, unique without regard to case. It counts as verified; a notice is sent to the old address.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "john@example.com", format = Email)]
    email: Option<String>,
    /// Whether the account may log in. `false` ends its sessions.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    is_active: Option<bool>,
    /// Whether the account may administer everything.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    is_superuser: Option<bool>,
}

impl JsonBody for ChangeUserBody {
    const REQUIRED: &'static [&'static str] = &[];
    const OPTIONAL: &'static [&'static str] = &["name", "email", "is_active", "is_superuser"];
}

/// Update an account
///
/// Requires the permission `users.write`, and every permission that the account has. Only a superuser changes accounts of
/// superusers, and decides who is one. The last superuser who can log in can be neither demoted nor deactivated.
#[utoipa::path(
    patch, path = "/api/v1/users/{id}", tag = "users", operation_id = "change_user",
    security(("bearer" = []), ("password" = [])),
    params(("id" = i64, Path, description = "The id of the account")),
    request_body = ChangeUserBody,
    responses(
        (status = 200, description = "The updated account", body = AccountBody),
        (status = 409, description = "The address is taken, or this is the last superuser", body = ProblemBody, content_type = "application/problem+json"),
        JsonProblems, PermissionProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn change_user(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AnyEndingBearer(bearer): AnyEndingBearer,
    user_id: UserId,
    body: Result<ApiJson<ChangeUserBody>, Problem>,
) -> Result<Response, Problem> {
    let permitted = service::require_permission(&state.service, bearer, Permission::UsersWrite).await?;
    let ApiJson(body) = body?;
    let form = UserChangeForm {
        name: body.name,
        email: body.email,
        is_active: body.is_active,
        is_superuser: body.is_superuser,
    };
    Ok(show(service::change_user(&state.service, &permitted, user_id.get()?, form, &origin).await?))
}
