//! Authentication of programs at `/token`, `/introspect` and `/revoke`.

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
use crate::domain::{ClientId, Origin};
use crate::service::{
    Assertion, ClientCredentials, FieldError, NamedClient, ServiceError, TokenClient, authenticate_client,
};

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
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, with `client_assertion`.
    #[serde(default)]
    client_assertion_type: String,
    /// An assertion instead of a secret; see the token endpoint.
    #[serde(default)]
    #[schema(format = Password)]
    client_assertion: String,
}

impl TokenQueryForm {
    fn assertion(&self) -> Result<Option<Assertion<'_>>, Problem> {
        read_assertion(&self.client_assertion_type, &self.client_assertion, &self.client_id)
    }
}

/// The value of `client_assertion_type` (RFC 7523 §2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The assertion of a form, if it has one.
///
/// # Errors
/// `422` when one of the two fields is missing, or the type is not supported.
fn read_assertion<'a>(
    kind: &str,
    token: &'a str,
    client_id: &'a str,
) -> Result<Option<Assertion<'a>>, Problem> {
    let invalid = |field, message: &str| {
        Err(oauth_problem(ServiceError::Invalid(vec![FieldError::new(field, message)])))
    };
    match (kind, token) {
        ("", "") => Ok(None),
        (JWT_BEARER, "") => invalid("client_assertion", "is required with client_assertion_type"),
        (JWT_BEARER, token) => Ok(Some(Assertion { client_id, token })),
        _ => invalid("client_assertion_type", &format!("must be {JWT_BEARER}")),
    }
}

/// Authenticates the caller, then reads the token from the form. Credentials are read from the header (a superuser's bearer
/// token, or RFC 7617 Basic) or, without such a header, from the form's `client_id` and `client_secret`
/// (RFC 6749 §2.3.1) or its assertion (RFC 7521 §4.2).
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
        if form.assertion()?.is_some() {
            return Err(beside_an_assertion());
        }
        (client, form)
    } else {
        let form = form?;
        if let Some(assertion) = form.assertion()? {
            if !form.client_secret.is_empty() {
                return Err(beside_an_assertion());
            }
            let client = check(state, ClientCredentials::Assertion(assertion), origin).await?;
            return with_token(client, form);
        }
        let (id, secret) = (form.client_id.as_str(), form.client_secret.as_str());
        if id.is_empty() || secret.is_empty() {
            return Err(Problem::no_client().with_oauth_error("invalid_client"));
        }
        (check(state, ClientCredentials::Secret(&[(id, secret)]), origin).await?, form)
    };
    with_token(client, form)
}

fn with_token(client: TokenClient, form: TokenQueryForm) -> Result<(TokenClient, String), Problem> {
    require(&[("token", &form.token)]).map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    Ok((client, form.token))
}

/// RFC 7521 §4.2: not more than one method in a request.
fn beside_an_assertion() -> Problem {
    let fault = FieldError::new("client_assertion", "is given beside other credentials of the client");
    oauth_problem(ServiceError::Invalid(vec![fault]))
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
    let readings = read_basic(rest);
    if readings.is_empty() {
        return Err(oauth_problem(ServiceError::InvalidClient));
    }
    check(state, ClientCredentials::Secret(&as_texts(&readings)), origin).await
}

async fn check(
    state: &ApiState,
    credentials: ClientCredentials<'_>,
    origin: &Origin,
) -> Result<TokenClient, Problem> {
    authenticate_client(&state.service, credentials, origin, Utc::now()).await.map_err(oauth_problem)
}

/// The client that a token request names.
pub struct PresentedClient {
    /// See [`NamedClient`].
    readings: Vec<(String, String)>,
    /// The assertion, and `client_id` of the form.
    assertion: Option<(String, String)>,
    is_ambiguous: bool,
    /// Whether the header names another client than the form, or cannot be read.
    has_other_header: bool,
}

/// What a token request says about its client.
pub struct ClientFields<'a> {
    /// `client_id`
    pub id: &'a str,
    /// `client_secret`
    pub secret: &'a str,
    /// `client_assertion_type`
    pub assertion_type: &'a str,
    /// `client_assertion`
    pub assertion: &'a str,
}

/// Reads the client that the form names, or else HTTP Basic (RFC 6749 §2.3.1). A request for a person's tokens may have
/// another header: a proxy may have put it there.
///
/// # Errors
/// `422` when the form names a client that cannot exist, or has half an assertion.
pub fn present_client(fields: &ClientFields<'_>, headers: &HeaderMap) -> Result<PresentedClient, Problem> {
    let (form_id, form_secret) = (fields.id, fields.secret);
    let assertion = read_assertion(fields.assertion_type, fields.assertion, form_id)?;
    let assertion = assertion.map(|given| (given.token.to_owned(), given.client_id.to_owned()));
    let header = read_basic_header(headers);
    let has_header = header.is_some();
    let has_secret = !form_secret.is_empty();
    let is_ambiguous = if assertion.is_some() { has_header || has_secret } else { has_header && has_secret };
    let readings = header.unwrap_or_default();
    if form_id.is_empty() {
        let has_other_header = has_header && readings.is_empty();
        return Ok(PresentedClient { readings, assertion, is_ambiguous, has_other_header });
    }
    if ClientId::parse(form_id).is_none() {
        let message = format!("must have at most {} printable ASCII characters", ClientId::MAX_LENGTH);
        return Err(oauth_problem(ServiceError::Invalid(vec![FieldError::new("client_id", &message)])));
    }
    let mut same: Vec<_> = readings.into_iter().filter(|(id, _)| id == form_id).collect();
    let has_other_header = has_header && same.is_empty();
    if same.is_empty() {
        same.push((form_id.to_owned(), form_secret.to_owned()));
    }
    Ok(PresentedClient { readings: same, assertion, is_ambiguous, has_other_header })
}

impl PresentedClient {
    /// The client that requests a person's tokens.
    pub fn for_person(&self) -> NamedClient<'_> {
        let assertion = self.assertion.as_ref();
        NamedClient {
            readings: as_texts(&self.readings),
            assertion: assertion.map(|(token, client_id)| Assertion { client_id, token }),
            is_ambiguous: self.is_ambiguous,
        }
    }

    /// The client that requests a token for itself.
    pub fn for_itself(&self) -> NamedClient<'_> {
        let names_two = self.has_other_header && !self.readings.is_empty();
        NamedClient { is_ambiguous: self.is_ambiguous || names_two, ..self.for_person() }
    }
}

fn as_texts(readings: &[(String, String)]) -> Vec<(&str, &str)> {
    readings.iter().map(|(id, secret)| (id.as_str(), secret.as_str())).collect()
}

/// The credentials of the HTTP Basic header, in each way in which they can be read; `None` if there is no such header, or an
/// empty one, which Swagger UI sends. The list is empty if it cannot be read, or another header is there too.
fn read_basic_header(headers: &HeaderMap) -> Option<Vec<(String, String)>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let text = values.next()?.to_str().ok()?;
    let (_, rest) = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))?;
    if values.next().is_some() {
        return Some(Vec::new());
    }
    let readings = read_basic(rest);
    if readings.iter().any(|(id, secret)| id.is_empty() && secret.is_empty()) {
        return None;
    }
    Some(readings.into_iter().filter(|(id, _)| !id.is_empty()).collect())
}

/// The credentials of HTTP Basic, in each way in which they can be read. RFC 6749 §2.3.1 wants the id and the secret to be
/// form-encoded, which not every program does.
fn read_basic(credentials: &str) -> Vec<(String, String)> {
    let Some((id, secret)) = decode_basic(credentials.trim()) else { return Vec::new() };
    let decoded = decode_component(id.as_bytes()).ok().zip(decode_component(secret.as_bytes()).ok());
    let decoded = decoded.filter(|decoded| (&decoded.0, &decoded.1) != (&id, &secret));
    decoded.into_iter().chain([(id, secret)]).collect()
}

/// The id and the secret of RFC 7617 §2.
fn decode_basic(credentials: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
}
