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
use crate::http::client_auth::{ClientFields, PresentedClient, present_client};
use crate::http::cookie;
use crate::http::form::{Repeatable, RepeatableForm, require};
use crate::http::middleware::RequestOrigin;
use crate::http::oauth::grant_problem;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::problem_docs::{FormProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, AdmittedClient, ClientTokenRequest, ExchangeRequest, IssuedToken, TokenPair};

/// The form (RFC 6749 §4.3.2, §4.4.2 and §6, RFC 8693 §2.1).
#[derive(Deserialize, ToSchema)]
pub struct TokenForm {
    /// `password` (the default), `refresh_token`, `client_credentials` or
    /// `urn:ietf:params:oauth:grant-type:token-exchange`.
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
    /// The requested scopes of a registered client, separated by spaces; all that can be granted if absent. A refresh
    /// gets none that the login did not get. Ignored without a registered client.
    #[serde(default)]
    scope: String,
    /// For the client_credentials grant (RFC 8707): the requested audience; the client's first one if absent. For token
    /// exchange as `audience`.
    #[serde(default)]
    resource: String,
    /// For token exchange: the client for which the token is to be, unless `resource` names it.
    #[serde(default)]
    audience: String,
    /// For token exchange: the access token with which the client was called.
    #[serde(default)]
    subject_token: String,
    /// For token exchange: `urn:ietf:params:oauth:token-type:access_token` or `urn:ietf:params:oauth:token-type:jwt`.
    #[serde(default)]
    subject_token_type: String,
    /// For token exchange: one of the same types; an access token if absent.
    #[serde(default)]
    requested_token_type: String,
    /// Not supported: the client that authenticates is the actor.
    #[serde(default)]
    actor_token: String,
    /// Not supported.
    #[serde(default)]
    actor_token_type: String,
    /// The client. Required for the client_credentials grant, unless HTTP Basic names it. Otherwise optional: for the claim
    /// `client_id` of the access token. The name of a client that is not registered is not authenticated.
    #[serde(default)]
    #[schema(max_length = 128, pattern = r"^[\x20-\x7e]*$")]
    client_id: String,
    /// The secret of a registered client, unless HTTP Basic has it.
    #[serde(default)]
    #[schema(format = Password)]
    client_secret: String,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, with `client_assertion`.
    #[serde(default)]
    client_assertion_type: String,
    /// Instead of a secret (RFC 7521 §4.2): a JWT that the client signed (`private_key_jwt`), or the projected token of its
    /// Kubernetes ServiceAccount.
    #[serde(default)]
    #[schema(format = Password)]
    client_assertion: String,
}

impl TokenForm {
    fn client(&self) -> ClientFields<'_> {
        ClientFields {
            id: &self.client_id,
            secret: &self.client_secret,
            assertion_type: &self.client_assertion_type,
            assertion: &self.client_assertion,
        }
    }
}

impl Repeatable for TokenForm {
    const REPEATABLE: &'static [&'static str] = &["resource", "audience"];
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
    /// The next refresh token, for the refresh_token grant; for the password grant only if a registered client may refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// The granted scopes of a registered client, separated by spaces; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "orders:read")]
    scope: Option<String>,
    /// RFC 8693 §2.2.1: the requested type; only for token exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "urn:ietf:params:oauth:token-type:access_token")]
    issued_token_type: Option<&'static str>,
}

/// RFC 8693 §2.1
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// OAuth 2.0 token endpoint
///
/// The password grant, which the **Authorize** button uses, the refresh_token grant, and for registered clients the
/// client_credentials grant and token exchange (RFC 8693). The password grant sets the cookie `latchkey_device` for a
/// program that the account has not used before: a program that sends it with its next request can log in while an
/// attacker exhausts the account's rate limit. A registered client that has credentials authenticates for every grant:
/// with HTTP Basic, with `client_id` and `client_secret`, or with an assertion.
#[utoipa::path(
    post, path = "/api/v1/auth/token", tag = "auth", operation_id = "token",
    security((), ("client" = [])),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "An access token", body = AccessTokenBody,
         headers(("set-cookie" = String, description = "latchkey_device"))),
        FormProblems, LimitedProblem, UnavailableProblem,
        (status = 400, description = "invalid_request, unsupported_grant_type, or invalid_grant: a wrong username or password, a refresh token that is not valid, an account that is deactivated, whose address is not verified or which may not use the client; unauthorized_client, invalid_scope or invalid_target: more than the client may have; invalid_request: a subject_token that the client may not exchange", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "invalid_client: a registered client has not authenticated", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn token(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    form: Result<RepeatableForm<TokenForm>, Problem>,
) -> Result<Response, Problem> {
    let RepeatableForm(form) = form.map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    let client = present_client(&form.client(), &headers)?;
    let (body, new_device) = match form.grant_type.as_str() {
        "" | "password" => grant_by_password(&state, form, &client, &headers, &origin).await?,
        "refresh_token" => (grant_by_refresh_token(&state, &form, &client, &origin).await?, None),
        "client_credentials" if state.service.registers_clients() => {
            (grant_to_client(&state, &form, &client, &origin).await?, None)
        }
        TOKEN_EXCHANGE if state.service.registers_clients() => {
            (exchange(&state, &form, &client, &origin).await?, None)
        }
        _ => {
            let reason = if state.service.registers_clients() {
                "The grant type must be password, refresh_token, client_credentials or token exchange (RFC 8693)."
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
    TokenForm { username, password, scope, .. }: TokenForm,
    client: &PresentedClient,
    headers: &HeaderMap,
    origin: &Origin,
) -> Result<(AccessTokenBody, Option<OneTimeSecret>), Problem> {
    require(&[("username", &username), ("password", &password)])
        .map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    let client = admit(state, client, GrantType::Password, origin).await?;
    let gets_refresh_token = client.is_registered_to_refresh();
    let login = service::LoginForm {
        name: &username,
        password: Password::presented(password),
        device: cookie::device(headers),
        remember_device: true,
        is_program: true,
        client,
        scope: &scope,
    };
    let logged_in = service::login(&state.service, login, origin, Utc::now()).await.map_err(grant_problem)?;
    let TokenPair { access, refresh, scope, .. } = logged_in.pair;
    let refresh_token = gets_refresh_token.then_some(refresh.token);
    Ok((AccessTokenBody { scope, ..AccessTokenBody::new(access, refresh_token) }, logged_in.new_device))
}

async fn grant_by_refresh_token(
    state: &ApiState,
    TokenForm { refresh_token: token, scope, .. }: &TokenForm,
    client: &PresentedClient,
    origin: &Origin,
) -> Result<AccessTokenBody, Problem> {
    require(&[("refresh_token", token)]).map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    let client = admit(state, client, GrantType::RefreshToken, origin).await?;
    let pair = service::refresh(&state.service, token, None, (client, scope), origin, Utc::now())
        .await
        .map_err(grant_problem)?;
    Ok(AccessTokenBody { scope: pair.scope, ..AccessTokenBody::new(pair.access, Some(pair.refresh.token)) })
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

async fn exchange(
    state: &ApiState,
    form: &TokenForm,
    client: &PresentedClient,
    origin: &Origin,
) -> Result<AccessTokenBody, Problem> {
    let request = ExchangeRequest {
        client: client.for_itself(),
        subject_token: &form.subject_token,
        subject_token_type: &form.subject_token_type,
        actor_token: &form.actor_token,
        actor_token_type: &form.actor_token_type,
        requested_token_type: &form.requested_token_type,
        audience: &form.audience,
        resource: &form.resource,
        scope: &form.scope,
    };
    let exchanged = service::exchange_token(&state.service, request, origin, Utc::now());
    let (granted, token_type) = exchanged.await.map_err(grant_problem)?;
    let body = AccessTokenBody::new(granted.access, None);
    Ok(AccessTokenBody { scope: granted.scope, issued_token_type: Some(token_type), ..body })
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
            issued_token_type: None,
        }
    }
}
