//! `DELETE /api/v1/auth/sessions/{id}`

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::http::bearer::EndingBearer;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{BearerProblems, NotFoundProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, ServiceError};

/// End one of the current user's sessions
///
/// Every replica refuses its tokens from then on. Ending a session that has already ended succeeds and changes nothing.
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions/{id}", tag = "auth", operation_id = "end_session",
    security(("bearer" = []), ("password" = [])),
    params(("id" = Uuid, Path, description = "The `id` of the session in the list")),
    responses(
        (status = 204, description = "The session has ended"),
        BearerProblems, NotFoundProblem, UnavailableProblem,
    )
)]
pub async fn end_session(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    EndingBearer(bearer): EndingBearer,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Response, Problem> {
    // What is no id names no session.
    let Path(id) = id.map_err(|_| ServiceError::NotFound)?;
    service::end_session(&state.service, bearer, id, &origin).await?;
    if id == bearer.session_id {
        Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, state.clear_cookie()?)]).into_response())
    } else {
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}
