//! `POST /api/v1/users`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::{Password, PasswordHash, Permission};
use crate::http::auth::me::ProfileBody;
use crate::http::bearer::AnyBearer;
use crate::http::body::{ApiJson, JsonBody, given};
use crate::http::middleware::RequestOrigin;
use crate::http::prefix::path_of;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{JsonProblems, PermissionProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, AccountForm};

/// The account to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUserBody {
    /// 1 to 64 letters, digits, `.`, `_` or `-`; unique without regard to case.
    #[schema(example = "john", min_length = 1, max_length = 64)]
    username: String,
    /// Unique without regard to case.
    #[schema(example = "john@example.com", format = Email)]
    email: String,
    /// The user's full name.
    #[schema(example = "John Doe", min_length = 1, max_length = 200)]
    name: String,
    /// 8 to 256 characters (a setting may require more than 8); neither a common password nor one of the account's own
    /// names. A setting may disable it.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, format = Password, min_length = 8, max_length = 256)]
    password: Option<String>,
    /// Instead of a password: a hash from another system, in the form in which that stores it. A setting may disable it.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_length = 512)]
    password_hash: Option<String>,
    /// Whether the account may administer everything.
    #[serde(default)]
    is_superuser: bool,
    /// The language of e-mails (BCP 47).
    #[serde(default, deserialize_with = "given")]
    #[schema(
        nullable = false,
        example = "en",
        max_length = 35,
        pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"
    )]
    locale: Option<String>,
}

impl JsonBody for CreateUserBody {
    const REQUIRED: &'static [&'static str] = &["username", "email", "name"];
    const OPTIONAL: &'static [&'static str] = &["password", "password_hash", "is_superuser", "locale"];
}

/// Create an account
///
/// Requires the permission `users.write`; only a superuser creates another one. An account without a password and without a
/// hash receives an invitation by e-mail to choose one.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users", operation_id = "create_user",
    security(("bearer" = []), ("password" = [])),
    request_body = CreateUserBody,
    responses(
        (status = 201, description = "The account", body = ProfileBody,
         headers(("location" = String, description = "Path of the account"))),
        (status = 409, description = "The name or the address is taken", body = ProblemBody, content_type = "application/problem+json"),
        JsonProblems, PermissionProblems, UnavailableProblem,
    )
)]
pub async fn create_user(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AnyBearer(bearer): AnyBearer,
    body: Result<ApiJson<CreateUserBody>, Problem>,
) -> Result<Response, Problem> {
    // Who may not do it is told so before what is wrong with the body.
    let permitted = service::require_permission(&state.service, bearer, Permission::UsersWrite).await?;
    let ApiJson(body) = body?;
    let form = AccountForm {
        username: body.username,
        email: body.email,
        name: body.name,
        password: body.password.map(Password::presented),
        password_hash: body.password_hash.map(PasswordHash::new),
        is_superuser: body.is_superuser,
        locale: body.locale,
    };
    let profile = service::create_user(&state.service, &permitted, form, &origin).await?;
    let location = format!("{}/api/v1/users/{}", path_of(state.service.issuer()), profile.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(ProfileBody::from(profile))).into_response())
}
