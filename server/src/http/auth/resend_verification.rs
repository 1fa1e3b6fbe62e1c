//! `POST /api/v1/auth/verify-email/resend`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::password_recovery::MessageBody;
use crate::http::body::{ApiJson, JsonBody};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{JsonProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// The address to verify.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResendVerificationBody {
    /// The address, compared without regard to case.
    #[schema(example = "john@example.com", format = Email)]
    email: String,
}

impl JsonBody for ResendVerificationBody {
    const REQUIRED: &'static [&'static str] = &["email"];
    const OPTIONAL: &'static [&'static str] = &[];
}

/// Request another verification e-mail
///
/// The response is the same whether or not an unverified account has the address. The previous link becomes void.
#[utoipa::path(
    post, path = "/api/v1/auth/verify-email/resend", tag = "auth", operation_id = "resend_verification",
    request_body = ResendVerificationBody,
    responses(
        (status = 202, description = "An e-mail is sent if an unverified account has the address", body = MessageBody),
        JsonProblems, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn resend_verification(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    ApiJson(body): ApiJson<ResendVerificationBody>,
) -> Result<(StatusCode, Json<MessageBody>), Problem> {
    service::resend_verification(&state.service, &body.email, &origin).await?;
    let message = "A mail is sent if an account with this address is yet to be verified.";
    Ok((StatusCode::ACCEPTED, Json(MessageBody { message })))
}
