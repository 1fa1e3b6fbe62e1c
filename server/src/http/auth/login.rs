//! `POST /api/v1/auth/login`

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use chrono::Utc;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::Password;
use crate::http::form::{AnyForm, require};
use crate::http::middleware::RequestOrigin;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{CredentialsProblem, FormProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::http::{cookie, token_pair};
use crate::service::{self, AdmittedClient, LoggedIn};

/// The form.
#[derive(Deserialize, ToSchema)]
pub struct LoginForm {
    /// A username or an e-mail address, compared without regard to case.
    #[serde(default)]
    #[schema(example = "john", required)]
    username: String,
    /// The password.
    #[serde(default)]
    #[schema(format = Password, required)]
    password: String,
}

/// Log in with a username or e-mail address and a password
///
/// Starts a session and sets the cookie `refresh_token`. A browser that the account has not used before also receives the
/// cookie `latchkey_device`: it is no credential, but lets its owner log in while an attacker exhausts the account's rate
/// limit.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", operation_id = "login",
    request_body(content((LoginForm = "application/x-www-form-urlencoded"), (LoginForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "A pair of tokens", body = token_pair::TokenPairBody,
         headers(("set-cookie" = String, description = "refresh_token, latchkey_device"))),
        (status = 403, description = "Deactivated account, or the address is not verified", body = ProblemBody, content_type = "application/problem+json"),
        FormProblems, CredentialsProblem, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn login(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    AnyForm(LoginForm { username, password }): AnyForm<LoginForm>,
) -> Result<Response, Problem> {
    require(&[("username", &username), ("password", &password)])?;
    let form = service::LoginForm {
        name: &username,
        password: Password::presented(password),
        device: cookie::device(&headers),
        remember_device: true,
        is_program: false,
        client: AdmittedClient::none(),
        scope: "",
    };
    let LoggedIn { pair, new_device } = service::login(&state.service, form, &origin, Utc::now()).await?;
    let mut answer = token_pair::answer(state.cookies(), pair)?;
    if let Some(device) = new_device {
        answer.headers_mut().append(SET_COOKIE, state.remember_device(&device)?);
    }
    Ok(answer)
}
