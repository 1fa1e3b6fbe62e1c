//! How a program shows who it is at `/introspect` and `/revoke`.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;

use super::bearer::bearer_token;
use super::form::{FormFields, UrlEncodedForm, decode_component};
use super::problem::Problem;
use super::state::ApiState;
use crate::service::{ClientCredentials, FieldError, ServiceError, TokenClient, authenticate_client};

/// Checks who asks, then that the form is one. Credentials are taken from the header (a superuser's bearer token,
/// or RFC 7617 Basic) or, where there is no such header, from the form's `client_id` and `client_secret`
/// (RFC 6749 §2.3.1).
///
/// # Errors
/// `401`, `403` or `503` about the caller before anything is said about the form. They have the members of
/// RFC 6749 §5.2.
pub async fn authenticated_form(
    state: &ApiState,
    headers: &HeaderMap,
    form: Result<UrlEncodedForm, Problem>,
) -> Result<(TokenClient, FormFields), Problem> {
    let form =
        form.map(|UrlEncodedForm(form)| form).map_err(|problem| problem.with_oauth_error("invalid_request"));
    if headers.contains_key(AUTHORIZATION) {
        let client = authenticate_by_header(state, headers).await?;
        let form = form?;
        // RFC 6749 §2.3: not more than one method in a request.
        if form.get("client_secret").is_some() {
            let fault = "is given beside the Authorization header".to_owned();
            return Err(oauth_problem(ServiceError::Invalid(vec![FieldError {
                field: "client_secret",
                message: fault,
            }])));
        }
        return Ok((client, form));
    }
    let form = form?;
    let (Some(id), Some(secret)) = (form.get("client_id"), form.get("client_secret")) else {
        return Err(Problem::no_client().with_oauth_error("invalid_client"));
    };
    let client = check(state, ClientCredentials::Secret { id, secret }).await?;
    Ok((client, form))
}

async fn authenticate_by_header(state: &ApiState, headers: &HeaderMap) -> Result<TokenClient, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let text = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, rest) = text.split_once(' ').unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("basic") || values.next().is_some() {
        let token =
            bearer_token(headers).map_err(|_| Problem::no_client().with_oauth_error("invalid_client"))?;
        return check(state, ClientCredentials::AccessToken(token)).await;
    }
    let invalid = || oauth_problem(ServiceError::InvalidClient);
    let (id, secret) = decode_basic(rest.trim()).ok_or_else(invalid)?;
    match check(state, ClientCredentials::Secret { id: &id, secret: &secret }).await {
        // RFC 6749 §2.3.1 wants both form-encoded first, which not every program does.
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            let decoded = |text: &str| decode_component(text.as_bytes()).map_err(|_| invalid());
            let (id, secret) = (decoded(&id)?, decoded(&secret)?);
            check(state, ClientCredentials::Secret { id: &id, secret: &secret }).await
        }
        checked => checked,
    }
}

async fn check(state: &ApiState, credentials: ClientCredentials<'_>) -> Result<TokenClient, Problem> {
    authenticate_client(&state.service, credentials, Utc::now()).await.map_err(oauth_problem)
}

/// The id and the secret of RFC 7617 §2.
fn decode_basic(credentials: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
}

/// The problem with the `error` that the RFCs have for it.
pub fn oauth_problem(error: ServiceError) -> Problem {
    let name = match &error {
        ServiceError::InvalidClient => "invalid_client",
        ServiceError::InvalidAccessToken => "invalid_token",
        ServiceError::NotSuperuser => "insufficient_scope",
        ServiceError::Invalid(_) => "invalid_request",
        ServiceError::Overloaded(_) | ServiceError::Unavailable(_) => "temporarily_unavailable",
        _ => "server_error",
    };
    Problem::from(error).with_oauth_error(name)
}
