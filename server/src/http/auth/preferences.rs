//! `GET /api/v1/auth/me/preferences`

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::bearer::Bearer;
use crate::http::problem::Problem;
use crate::http::problem_docs::{BearerProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// What an account has chosen.
#[derive(Serialize, ToSchema)]
pub struct PreferencesBody {
    /// The language of e-mails, a BCP 47 tag; null: the default of this service.
    #[schema(example = "pt-BR")]
    locale: Option<String>,
}

/// Get the current user's preferences
///
/// `PATCH /me` changes them. They are separate from the profile, whose members are fixed.
#[utoipa::path(
    get, path = "/api/v1/auth/me/preferences", tag = "auth", operation_id = "preferences",
    security(("bearer" = []), ("password" = [])),
    responses(
        (status = 200, description = "The preferences", body = PreferencesBody),
        BearerProblems, UnavailableProblem,
    )
)]
pub async fn preferences(State(state): State<ApiState>, Bearer(bearer): Bearer) -> Result<Response, Problem> {
    let locale = service::show_locale(&state.service, bearer).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(PreferencesBody { locale })).into_response())
}
