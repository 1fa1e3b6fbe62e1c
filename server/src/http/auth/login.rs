//! `POST /api/v1/auth/login`

use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::Utc;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::Password;
use crate::http::form::AnyForm;
use crate::http::middleware::RequestOrigin;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::LimitedProblem;
use crate::http::state::ApiState;
use crate::http::{cookie, token_pair};
use crate::service::{self, LoggedIn};

/// The form.
#[derive(Deserialize, ToSchema)]
pub struct LoginForm {
    /// A username or an e-mail address, compared without regard to case.
    #[schema(example = "john")]
    #[expect(dead_code, reason = "describes the form for the OpenAPI document; it is read field by field")]
    username: String,
    /// The password.
    #[schema(format = Password)]
    #[expect(dead_code, reason = "as above")]
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
        (status = 400, description = "Malformed request", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "Wrong username or password", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "Deactivated account, or the address is not verified", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Request body too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not a form", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing", body = ProblemBody, content_type = "application/problem+json"),
        LimitedProblem,
        (status = 503, description = "Overloaded, or a dependency is down", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn login(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    AnyForm(form): AnyForm,
) -> Result<Response, Problem> {
    let [username, password] = form.require(["username", "password"])?;
    let form = service::LoginForm {
        name: username,
        password: Password::presented(password),
        device: cookie::device(&headers),
        remember_device: true,
    };
    let LoggedIn { pair, new_device } = service::login(&state.service, form, &origin, Utc::now()).await?;
    let mut answer = token_pair::answer(pair)?;
    if let Some(device) = new_device {
        let cookie = cookie::remember_device(&device).map_err(|_| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.")
        })?;
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(answer)
}
