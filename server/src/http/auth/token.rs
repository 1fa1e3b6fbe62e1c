//! `POST /api/v1/auth/token`

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, PRAGMA, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use latchkey_clients::GrantType;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::crypto::OneTimeSecret;
use crate::domain::{Origin, Password};
use crate::http::client_auth::{PresentedClient, present_client};
use crate::http::cookie;
use crate::http::form::{Repeatable, RepeatableForm, require};
use crate::http::middleware::RequestOrigin;
use crate::http::oauth::grant_problem;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{FormProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, AdmittedClient, ClientTokenRequest, IssuedToken};

/// The form (RFC 6749 §4.3.2, §4.4.2 and §6).
#[derive(Deserialize, ToSchema)]
pub struct TokenForm {
    /// `password` (the default), `refresh_token` or `client_credentials`.
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
    /// For the client_credentials grant: the requested scopes, separated by spaces; all of the client's if absent.
    #[serde(default)]
    scope: String,
    /// For the client_credentials grant (RFC 8707): the requested audience; the client's first one if absent.
    #[serde(default)]
    resource: String,
    /// The client. Required for the client_credentials grant, unless HTTP Basic names it. Otherwise optional: for the claim
    /// `client_id` of the access token. The name of a client that is not registered is not authenticated.
    #[serde(default)]
    #[schema(max_length = 128, pattern = r"^[\x20-\x7e]*$")]
    client_id: String,
    /// The secret of a registered client, unless HTTP Basic has it.
    #[serde(default)]
    #[schema(format = Password)]
    client_secret: String,
}

impl Repeatable for TokenForm {
    const REPEATABLE: &'static [&'static str] = &["resource"];
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
    /// The granted scopes, separated by spaces; only for the client_credentials grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "orders:read")]
    scope: Option<String>,
}

/// OAuth 2.0 token endpoint
///
/// The password grant, which the **Authorize** button uses, the refresh_token grant, and the client_credentials grant for
/// registered clients. The password grant sets the cookie `latchkey_device` for a program that the account has not used
/// before: a program that sends it with its next request can log in while an attacker exhausts the account's rate limit. A
/// registered client that has a secret authenticates with HTTP Basic or with `client_id` and `client_secret`, for every
/// grant.
#[utoipa::path(
    post, path = "/api/v1/auth/token", tag = "auth", operation_id = "token",
    security((), ("client" = [])),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "An access token", body = AccessTokenBody,
         headers(("set-cookie" = String, description = "latchkey_device"))),
        FormProblems, LimitedProblem, UnavailableProblem,
        (status = 400, description = "invalid_request, unsupported_grant_type, or invalid_grant: a wrong username or password, a refresh token that is not valid, an account that is deactivated or whose address is not verified; unauthorized_client, invalid_scope or invalid_target: more than the client may have", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "invalid_client: a registered client has not shown its secret", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn token(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    form: Result<RepeatableForm<TokenForm>, Problem>,
) -> Result<Response, Problem> {
    let RepeatableForm(form) = form.map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    let client = present_client(&form.client_id, &form.client_secret, &headers)?;
    let (body, new_device) = match form.grant_type.as_str() {
        "" | "password" => grant_by_password(&state, form, &client, &headers, &origin).await?,
        "refresh_token" => {
            (grant_by_refresh_token(&state, &form.refresh_token, &client, &origin).await?, None)
        }
        "client_credentials" if state.service.registers_clients() => {
            (grant_to_client(&state, &form, &client, &origin).await?, None)
        }
        _ => {
            let reason = if state.service.registers_clients() {
                "The grant type must be password, refresh_token or client_credentials."
            } else {
                "The grant type must be password or refresh_token."
            };
            return Err(
                Problem::new(StatusCode::BAD_REQUEST, reason).with_oauth_error("unsupported_grant_type")
            );
        }
    };
    let mut answer = ([(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")], Json(body)).into_response();
    if let Some(device) = new_device {
        answer.headers_mut().append(SET_COOKIE, state.remember_device(&device)?);
    }
    Ok(answer)
}

async fn grant_by_password(
    state: &ApiState,
    TokenForm { username, password, .. }: TokenForm,
    client: &PresentedClient,
    headers: &HeaderMap,
    origin: &Origin,
) -> Result<(AccessTokenBody, Option<OneTimeSecret>), Problem> {
    require(&[("username", &username), ("password", &password)])
        .map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    let client = admit(state, client, GrantType::Password, origin).await?.into_id();
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
    client: &PresentedClient,
    origin: &Origin,
) -> Result<AccessTokenBody, Problem> {
    require(&[("refresh_token", token)]).map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    let client = admit(state, client, GrantType::RefreshToken, origin).await?;
    let pair = service::refresh(&state.service, token, None, client, origin, Utc::now())
        .await
        .map_err(grant_problem)?;
    Ok(AccessTokenBody::new(pair.access, Some(pair.refresh.token)))
}

async fn grant_to_client(
    state: &ApiState,
    form: &TokenForm,
    client: &PresentedClient,
    origin: &Origin,
) -> Result<AccessTokenBody, Problem> {
    let request =
        ClientTokenRequest { client: client.for_itself(), scope: &form.scope, resource: &form.resource };
    let granted = service::grant_client_credentials(&state.service, request, origin, Utc::now())
        .await
        .map_err(grant_problem)?;
    Ok(AccessTokenBody { scope: granted.scope, ..AccessTokenBody::new(granted.access, None) })
}

async fn admit(
    state: &ApiState,
    client: &PresentedClient,
    grant: GrantType,
    origin: &Origin,
) -> Result<AdmittedClient, Problem> {
    let admitted = service::admit_client(&state.service, client.for_person(), grant, origin, Utc::now());
    admitted.await.map_err(grant_problem)
}

impl AccessTokenBody {
    fn new(access: IssuedToken, refresh_token: Option<String>) -> Self {
        Self {
            access_token: access.token,
            expires_in: access.expires_in,
            token_type: "bearer",
            refresh_token,
            scope: None,
        }
    }
}
