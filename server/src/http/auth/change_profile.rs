//! `PATCH /api/v1/auth/me`

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::me::ProfileBody;
use crate::http::bearer::Bearer;
use crate::http::body::{ApiJson, JsonBody, given};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{BearerProblems, JsonProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, ProfileForm};

/// What to change; what is not there stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeProfileBody {
    /// The user's full name.
    #[serde(default, deserialize_with = "given")]
    #[schema(example = "John Doe", min_length = 1, max_length = 200, nullable = false)]
    name: Option<String>,
    /// The language of e-mails: a BCP 47 tag of a language with optional script and region; null: the
    /// default of this service.
    #[serde(default, deserialize_with = "given")]
    #[schema(example = "pt-BR", value_type = Option<String>)]
    #[expect(clippy::option_option, reason = "absent, null and given are three things (RFC 7396)")]
    locale: Option<Option<String>>,
}

impl JsonBody for ChangeProfileBody {
    const REQUIRED: &'static [&'static str] = &[];
    const OPTIONAL: &'static [&'static str] = &["name", "locale"];
}

/// Change the current user's profile
///
/// `GET /me/preferences` returns the language.
#[utoipa::path(
    patch, path = "/api/v1/auth/me", tag = "auth", operation_id = "change_profile",
    security(("bearer" = []), ("password" = [])),
    request_body = ChangeProfileBody,
    responses(
        (status = 200, description = "The updated account", body = ProfileBody),
        JsonProblems, BearerProblems, UnavailableProblem,
    )
)]
pub async fn change_profile(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    Bearer(bearer): Bearer,
    ApiJson(body): ApiJson<ChangeProfileBody>,
) -> Result<Response, Problem> {
    let form = ProfileForm { name: body.name, locale: body.locale };
    let profile = service::change_profile(&state.service, bearer, form, &origin).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(ProfileBody::from(profile))).into_response())
}
