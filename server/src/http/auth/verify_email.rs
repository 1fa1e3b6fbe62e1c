//! `POST /api/v1/auth/verify-email`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::password_recovery::MessageBody;
use crate::http::body::{ApiJson, JsonBody};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{JsonProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// The token of a mailed link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkTokenBody {
    /// The token of the link.
    pub token: String,
}

impl JsonBody for LinkTokenBody {
    const REQUIRED: &'static [&'static str] = &["token"];
    const OPTIONAL: &'static [&'static str] = &[];
}

/// Verify the e-mail address of a new account
///
/// Starts no session. An invalid token is a 422 for the field `token`.
#[utoipa::path(
    post, path = "/api/v1/auth/verify-email", tag = "auth", operation_id = "verify_email",
    request_body = LinkTokenBody,
    responses(
        (status = 200, description = "The address is verified", body = MessageBody),
        JsonProblems, UnavailableProblem,
    )
)]
pub async fn verify_email(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    ApiJson(body): ApiJson<LinkTokenBody>,
) -> Result<Json<MessageBody>, Problem> {
    service::verify_email(&state.service, &body.token, &origin).await?;
    Ok(Json(MessageBody { message: "E-mail address verified." }))
}
