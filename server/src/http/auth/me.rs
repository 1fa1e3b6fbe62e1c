//! `GET /api/v1/auth/me`

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::bearer::bearer_token;
use crate::http::problem::Problem;
use crate::http::problem_docs::{BearerProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;
use crate::store::Profile;

/// An account.
#[derive(Serialize, ToSchema)]
pub struct ProfileBody {
    /// The id: `sub` of the tokens.
    #[schema(example = 1)]
    pub id: i64,
    /// The username.
    #[schema(example = "john")]
    pub username: String,
    /// The e-mail address.
    #[schema(example = "john@example.com")]
    pub email: String,
    /// The user's full name.
    #[schema(example = "John Doe")]
    pub name: String,
    /// Whether the account may administer accounts.
    #[schema(example = false)]
    pub is_superuser: bool,
    /// Whether the account may log in.
    #[schema(example = true)]
    pub is_active: bool,
}

impl From<Profile> for ProfileBody {
    fn from(profile: Profile) -> Self {
        Self {
            id: profile.id,
            username: profile.username,
            email: profile.email,
            name: profile.name,
            is_superuser: profile.is_superuser,
            is_active: profile.is_active,
        }
    }
}

/// Get the current user's profile
#[utoipa::path(
    get, path = "/api/v1/auth/me", tag = "auth", operation_id = "me",
    security(("bearer" = []), ("password" = [])),
    responses(
        (status = 200, description = "The account behind the token", body = ProfileBody),
        BearerProblems, UnavailableProblem,
    )
)]
pub async fn me(State(state): State<ApiState>, headers: HeaderMap) -> Result<Response, Problem> {
    let profile = service::show_profile(&state.service, bearer_token(&headers)?, Utc::now()).await?;
    // A person's data is not for shared caches, and a logged-out browser must not show it again.
    Ok(([(CACHE_CONTROL, "no-store")], Json(ProfileBody::from(profile))).into_response())
}
