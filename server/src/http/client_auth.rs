//! Authentication of programs at `/introspect` and `/revoke`.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use serde::Deserialize;
use utoipa::ToSchema;

use super::bearer::bearer_token;
use super::form::{UrlEncodedForm, decode_component, require};
use super::oauth::oauth_problem;
use super::problem::Problem;
use super::state::ApiState;
use crate::domain::Origin;
use crate::service::{ClientCredentials, FieldError, ServiceError, TokenClient, authenticate_client};

/// The token that is asked about (RFC 7662 §2.1, RFC 7009 §2.1).
#[derive(Deserialize, ToSchema)]
pub struct TokenQueryForm {
    /// An access or a refresh token.
    #[serde(default)]
    #[schema(min_length = 1, required)]
    token: String,
    /// Optional and ignored: the token states its own type.
    #[serde(default, rename = "token_type_hint")]
    _token_type_hint: String,
    /// Together with `client_secret`, if there is no `Authorization` header.
    #[serde(default)]
    client_id: String,
    /// See `client_id`.
    #[serde(default)]
    #[schema(format = Password)]
    client_secret: String,
}

/// Authenticates the caller, then reads the token from the form. Credentials are read from the header (a superuser's bearer
/// token, or RFC 7617 Basic) or, without such a header, from the form's `client_id` and `client_secret`
/// (RFC 6749 §2.3.1).
///
/// # Errors
/// `401`, `403`, `429` or `503` about the caller before anything is said about the form. They have the members of
/// RFC 6749 §5.2.
pub async fn authenticate_query(
    state: &ApiState,
    headers: &HeaderMap,
    origin: &Origin,
    form: Result<UrlEncodedForm<TokenQueryForm>, Problem>,
) -> Result<(TokenClient, String), Problem> {
    let form =
        form.map(|UrlEncodedForm(form)| form).map_err(|problem| problem.with_oauth_error("invalid_request"));
    let (client, form) = if headers.contains_key(AUTHORIZATION) {
        let client = authenticate_by_header(state, headers, origin).await?;
        let form = form?;
        // RFC 6749 §2.3: not more than one method in a request.
        if !form.client_secret.is_empty() {
            let fault = FieldError::new("client_secret", "is given beside the Authorization header");
            return Err(oauth_problem(ServiceError::Invalid(vec![fault])));
        }
        (client, form)
    } else {
        let form = form?;
        let (id, secret) = (form.client_id.as_str(), form.client_secret.as_str());
        if id.is_empty() || secret.is_empty() {
            return Err(Problem::no_client().with_oauth_error("invalid_client"));
        }
        (check(state, ClientCredentials::Secret(&[(id, secret)]), origin).await?, form)
    };
    require(&[("token", &form.token)]).map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    Ok((client, form.token))
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

/// The client that HTTP Basic names, form-decoded if it is form-encoded (RFC 6749 §2.3.1).
pub fn basic_client_id(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let text = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let (_, rest) = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))?;
    let (id, _) = decode_basic(rest.trim())?;
    Some(decode_component(id.as_bytes()).unwrap_or(id))
}

/// The id and the secret of RFC 7617 §2.
fn decode_basic(credentials: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
}
