//! `POST /api/v1/auth/token`

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, PRAGMA, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::crypto::OneTimeSecret;
use crate::domain::{ClientId, Origin, Password};
use crate::http::client_auth::basic_client_id;
use crate::http::cookie;
use crate::http::form::{UrlEncodedForm, require};
use crate::http::middleware::RequestOrigin;
use crate::http::oauth::{grant_problem, oauth_problem};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{FormProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, FieldError, IssuedToken, ServiceError};

/// The form (RFC 6749 §4.3.2 and §6).
#[derive(Deserialize, ToSchema)]
pub struct TokenForm {
    /// `password` (the default) or `refresh_token`.
    #[serde(default)]
    grant_type: String,
    /// A username or an e-mail address, compared without regard to case; for the password grant.
    #[serde(default)]
    username: String,
    /// The password; for the password grant.
    #[serde(default)]
    #[schema(format = Password)]
    password: String,
    /// A refresh token; for the refresh_token grant.
    #[serde(default)]
    refresh_token: String,
    /// Optional and ignored: there are no scopes.
    #[serde(default, rename = "scope")]
    _scope: String,
    /// Optional: the name that the client gives itself, for the claim `client_id` of the access token. It is not
    /// authenticated. May also be the user name of HTTP Basic.
    #[serde(default)]
    #[schema(max_length = 128, pattern = r"^[\x20-\x7e]*$")]
    client_id: String,
    /// Optional and ignored: no client is registered.
    #[serde(default, rename = "client_secret")]
    _client_secret: String,
}

/// The answer (RFC 6749 §5.1).
#[derive(Serialize, ToSchema)]
pub struct AccessTokenBody {
    /// The JWT.
    access_token: String,
    /// Seconds until it expires.
    #[schema(example = 604_800)]
    expires_in: i64,
    /// Always `bearer`.
    #[schema(example = "bearer")]
    token_type: &'static str,
    /// The next refresh token; only for the refresh_token grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// OAuth 2.0 token endpoint
///
/// The password grant, which the **Authorize** button uses, and the refresh_token grant. The password grant sets the cookie
/// `latchkey_device` for a program that the account has not used before: a program that sends it with its next request can
/// log in while an attacker exhausts the account's rate limit.
#[utoipa::path(
    post, path = "/api/v1/auth/token", tag = "auth", operation_id = "token",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "An access token", body = AccessTokenBody,
         headers(("set-cookie" = String, description = "latchkey_device"))),
        FormProblems, LimitedProblem, UnavailableProblem,
        (status = 400, description = "invalid_request, unsupported_grant_type, or invalid_grant: a wrong username or password, a refresh token that is not valid, an account that is deactivated or whose address is not verified", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn token(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    form: Result<UrlEncodedForm<TokenForm>, Problem>,
) -> Result<Response, Problem> {
    let UrlEncodedForm(form) = form.map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    let client = named_client(&form.client_id, &headers)?;
    let (body, new_device) = match form.grant_type.as_str() {
        "" | "password" => grant_by_password(&state, form, client, &headers, &origin).await?,
        "refresh_token" => {
            (grant_by_refresh_token(&state, &form.refresh_token, client, &origin).await?, None)
        }
        _ => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "The grant type must be password or refresh_token.",
            )
            .with_oauth_error("unsupported_grant_type"));
        }
    };
    let mut answer = ([(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")], Json(body)).into_response();
    if let Some(device) = new_device {
        answer.headers_mut().append(SET_COOKIE, state.remember_device(&device)?);
    }
    Ok(answer)
}

/// The client that the form names, or else HTTP Basic (RFC 6749 §2.3.1). What else may be in that header is ignored: a
/// proxy may have put it there.
fn named_client(in_form: &str, headers: &HeaderMap) -> Result<Option<ClientId>, Problem> {
    if in_form.is_empty() {
        return Ok(basic_client_id(headers).as_deref().and_then(ClientId::parse));
    }
    if let Some(client) = ClientId::parse(in_form) {
        return Ok(Some(client));
    }
    let message = format!("must have at most {} printable ASCII characters", ClientId::MAX_LENGTH);
    Err(oauth_problem(ServiceError::Invalid(vec![FieldError::new("client_id", &message)])))
}

async fn grant_by_password(
    state: &ApiState,
    TokenForm { username, password, .. }: TokenForm,
    client: Option<ClientId>,
    headers: &HeaderMap,
    origin: &Origin,
) -> Result<(AccessTokenBody, Option<OneTimeSecret>), Problem> {
    require(&[("username", &username), ("password", &password)])
        .map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    let login = service::LoginForm {
        name: &username,
        password: Password::presented(password),
        device: cookie::device(headers),
        remember_device: true,
        is_program: true,
        client,
    };
    let logged_in = service::login(&state.service, login, origin, Utc::now()).await.map_err(grant_problem)?;
    Ok((AccessTokenBody::new(logged_in.pair.access, None), logged_in.new_device))
}

async fn grant_by_refresh_token(
    state: &ApiState,
    token: &str,
    client: Option<ClientId>,
    origin: &Origin,
) -> Result<AccessTokenBody, Problem> {
    require(&[("refresh_token", token)]).map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    let pair = service::refresh(&state.service, token, None, client, origin, Utc::now())
        .await
        .map_err(grant_problem)?;
    Ok(AccessTokenBody::new(pair.access, Some(pair.refresh.token)))
}

impl AccessTokenBody {
    fn new(access: IssuedToken, refresh_token: Option<String>) -> Self {
        Self {
            access_token: access.token,
            expires_in: access.expires_in,
            token_type: "bearer",
            refresh_token,
        }
    }
}
