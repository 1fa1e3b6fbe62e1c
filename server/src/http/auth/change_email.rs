//! `POST /api/v1/auth/me/email`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::password_recovery::MessageBody;
use crate::domain::Password;
use crate::http::bearer::Bearer;
use crate::http::body::{ApiJson, JsonBody};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::Problem;
use crate::http::problem_docs::{BearerProblems, JsonProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service;

/// The address to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeEmailBody {
    /// The account's password.
    #[schema(format = Password)]
    password: String,
    /// The new address.
    #[schema(example = "john@example.org", format = Email)]
    email: String,
}

impl JsonBody for ChangeEmailBody {
    const REQUIRED: &'static [&'static str] = &["password", "email"];
    const OPTIONAL: &'static [&'static str] = &[];
}

/// Request a change of the current user's e-mail address
///
/// Sends a confirmation link to the new address and a notice to the current one, which stays in use until the link is
/// followed. The response is the same when another account has the new address. A wrong password is a 422 for the field
/// `password`.
#[utoipa::path(
    post, path = "/api/v1/auth/me/email", tag = "auth", operation_id = "change_email",
    security(("bearer" = []), ("password" = [])),
    request_body = ChangeEmailBody,
    responses(
        (status = 202, description = "A link is sent to the new address", body = MessageBody),
        JsonProblems, BearerProblems, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn change_email(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    Bearer(bearer): Bearer,
    ApiJson(body): ApiJson<ChangeEmailBody>,
) -> Result<(StatusCode, Json<MessageBody>), Problem> {
    let password = Password::presented(body.password);
    service::request_email_change(&state.service, bearer, password, &body.email, &origin).await?;
    let message = "A mail to the new address tells how to confirm it.";
    Ok((StatusCode::ACCEPTED, Json(MessageBody { message })))
}
