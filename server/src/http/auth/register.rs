//! `POST /api/v1/auth/register`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::password_recovery::MessageBody;
use crate::domain::Password;
use crate::http::body::{ApiJson, JsonBody};
use crate::http::languages::AcceptedLanguages;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{JsonProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, RegistrationForm};

/// The account to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterBody {
    /// 1 to 64 letters, digits, `.`, `_` or `-`; unique without regard to case.
    #[schema(example = "john", min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    username: String,
    /// Unique without regard to case. A setting may restrict the domains.
    #[schema(example = "john@example.com", format = Email)]
    email: String,
    /// The user's full name.
    #[schema(example = "John Doe", min_length = 1, max_length = 200)]
    name: String,
    /// 8 to 256 characters (a setting may require more than 8); neither a common password nor one of the account's own names.
    #[schema(format = Password, min_length = 8, max_length = 256)]
    password: String,
    /// The language of e-mails: a BCP 47 tag of a language with optional script and region. The default is taken from
    /// `Accept-Language`.
    #[schema(example = "pt-BR")]
    locale: Option<String>,
}

impl JsonBody for RegisterBody {
    const REQUIRED: &'static [&'static str] = &["username", "email", "name", "password"];
    const OPTIONAL: &'static [&'static str] = &["locale"];
}

/// Register an account
///
/// The response is the same whether or not the username or the address is taken; an e-mail to the address reports the
/// outcome. The account can be used once its address is verified, unless a setting allows it before.
#[utoipa::path(
    post, path = "/api/v1/auth/register", tag = "auth", operation_id = "register",
    request_body = RegisterBody,
    responses(
        (status = 202, description = "An e-mail to the address reports the outcome", body = MessageBody),
        (status = 403, description = "Registration is disabled", body = ProblemBody, content_type = "application/problem+json"),
        JsonProblems, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn register(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    AcceptedLanguages(accepted): AcceptedLanguages,
    body: Result<ApiJson<RegisterBody>, Problem>,
) -> Result<(StatusCode, Json<MessageBody>), Problem> {
    service::check_registration_enabled(&state.service)?;
    let ApiJson(body) = body?;
    let form = RegistrationForm {
        username: body.username,
        email: body.email,
        name: body.name,
        password: Password::presented(body.password),
        locale: body.locale,
        accepted,
    };
    service::register(&state.service, form, &origin).await?;
    let message = "A mail to this address tells how to go on.";
    Ok((StatusCode::ACCEPTED, Json(MessageBody { message })))
}
