//! Authentication of programs at `/introspect` and `/revoke`.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;

use super::bearer::bearer_token;
use super::form::{FormFields, UrlEncodedForm, decode_component};
use super::oauth::oauth_problem;
use super::problem::Problem;
use super::state::ApiState;
use crate::domain::Origin;
use crate::service::{ClientCredentials, FieldError, ServiceError, TokenClient, authenticate_client};

/// Authenticates the caller, then parses the form. Credentials are read from the header (a superuser's bearer token, or
/// RFC 7617 Basic) or, without such a header, from the form's `client_id` and `client_secret`
/// (RFC 6749 §2.3.1).
///
/// # Errors
/// `401`, `403`, `429` or `503` about the caller before anything is said about the form. They have the members of
/// RFC 6749 §5.2.
pub async fn authenticated_form(
    state: &ApiState,
    headers: &HeaderMap,
    origin: &Origin,
    form: Result<UrlEncodedForm, Problem>,
) -> Result<(TokenClient, FormFields), Problem> {
    let form =
        form.map(|UrlEncodedForm(form)| form).map_err(|problem| problem.with_oauth_error("invalid_request"));
    if headers.contains_key(AUTHORIZATION) {
        let client = authenticate_by_header(state, headers, origin).await?;
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
    let client = check(state, ClientCredentials::Secret(&[(id, secret)]), origin).await?;
    Ok((client, form))
}

async fn authenticate_by_header(
    state: &ApiState,
    headers: &HeaderMap,
    origin: &Origin,
) -> Result<TokenClient, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let text = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, rest) = text.split_once(' ').unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("basic") || values.next().is_some() {
        let token =
            bearer_token(headers).map_err(|_| Problem::no_client().with_oauth_error("invalid_client"))?;
        return check(state, ClientCredentials::AccessToken(token), origin).await;
    }
    let invalid = || oauth_problem(ServiceError::InvalidClient);
    let (id, secret) = decode_basic(rest.trim()).ok_or_else(invalid)?;
    // RFC 6749 §2.3.1 wants both form-encoded first, which not every program does.
    let decoded = decode_component(id.as_bytes()).ok().zip(decode_component(secret.as_bytes()).ok());
    let mut readings = vec![(id.as_str(), secret.as_str())];
    readings.extend(decoded.as_ref().map(|(id, secret)| (id.as_ref(), secret.as_ref())));
    check(state, ClientCredentials::Secret(&readings), origin).await
}

async fn check(
    state: &ApiState,
    credentials: ClientCredentials<'_>,
    origin: &Origin,
) -> Result<TokenClient, Problem> {
    authenticate_client(&state.service, credentials, origin, Utc::now()).await.map_err(oauth_problem)
}

/// The id and the secret of RFC 7617 §2.
fn decode_basic(credentials: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
}
