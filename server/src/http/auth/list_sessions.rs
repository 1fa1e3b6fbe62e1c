//! `GET /api/v1/auth/sessions`

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::bearer::Bearer;
use crate::http::problem::Problem;
use crate::http::problem_docs::{BearerProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// The sessions of an account that go on.
#[derive(Serialize, ToSchema)]
pub struct SessionsBody {
    /// The current session first, then by last use; at most 200.
    sessions: Vec<SessionBody>,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub struct SessionBody {
    /// `sid` of its tokens.
    id: Uuid,
    /// The time of the login (RFC 3339).
    created_at: DateTime<Utc>,
    /// The time of the login or of the last refresh (RFC 3339).
    last_used_at: DateTime<Utc>,
    /// The client address at login; null if it was not recorded.
    #[schema(example = "192.0.2.7")]
    address: Option<String>,
    /// The `User-Agent` at login.
    user_agent: Option<String>,
    /// Whether this is the current session.
    current: bool,
}

/// List the current user's sessions
#[utoipa::path(
    get, path = "/api/v1/auth/sessions", tag = "auth", operation_id = "list_sessions",
    security(("bearer" = []), ("password" = [])),
    responses(
        (status = 200, description = "The active sessions", body = SessionsBody),
        BearerProblems, UnavailableProblem,
    )
)]
pub async fn list_sessions(
    State(state): State<ApiState>,
    Bearer(bearer): Bearer,
) -> Result<Response, Problem> {
    let rows = service::list_sessions(&state.service, bearer).await?;
    let sessions = rows
        .into_iter()
        .map(|row| SessionBody {
            id: row.id,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            address: row.address,
            user_agent: row.user_agent,
            current: row.id == bearer.session_id,
        })
        .collect();
    Ok(([(CACHE_CONTROL, "no-store")], Json(SessionsBody { sessions })).into_response())
}
