//! `POST /api/v1/auth/introspect`

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::crypto::{Act, ClientToken, SessionToken, TokenKind};
use crate::domain::ClientId;
use crate::http::client_auth::{TokenQueryForm, authenticate_query};
use crate::http::form::UrlEncodedForm;
use crate::http::middleware::RequestOrigin;
use crate::http::oauth::oauth_problem;
use crate::http::problem::Problem;
use crate::http::problem_docs::{ClientProblems, FormProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, AcceptedExchangedToken, Introspection};

/// What is known of the token (RFC 7662 §2.2). A token that would not be accepted has `active` only.
#[derive(Default, Serialize, ToSchema)]
#[serde(default)]
pub struct IntrospectionBody {
    /// Whether the token would be accepted now: signed by this service, not expired, not revoked, and its account active.
    active: bool,
    /// `bearer` for an access token. `refresh_token` for a refresh token: a resource server must not accept it as
    /// an access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "bearer")]
    token_type: Option<&'static str>,
    /// The account's id, or the id of the client whose token it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1")]
    sub: Option<String>,
    /// The username; absent for a client's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "john")]
    username: Option<String>,
    /// The expiry time, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// The creation time.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// The time from which the token is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// The audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    /// The token id.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Uuid>,
    /// The client that the token was issued to, by the name that it gave itself if it is not registered; `latchkey` where
    /// none was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "latchkey")]
    client_id: Option<String>,
    /// The session id; absent for a client's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<Uuid>,
    /// The granted scopes of an access token of a registered client, also of one that it exchanged, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "orders:read")]
    scope: Option<String>,
    /// The names of the account's groups when the access token was issued; only with the scope `groups`.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<String>>,
    /// RFC 8693 §4.1, of a token that was exchanged: the client that acts for `sub`, and within it those before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({ "sub": "orders" }))]
    act: Option<Act>,
}

/// Introspect a token
///
/// RFC 7662. For programs that cannot verify a token themselves, or must learn of a logout immediately. They authenticate
/// with a superuser's access token, with the configured client secret, or as a registered client, which learns only of tokens
/// that were issued to it or for its id. The token is not changed.
#[utoipa::path(
    post, path = "/api/v1/auth/introspect", tag = "programs", operation_id = "introspect",
    security(("client" = []), ("bearer" = []), ("password" = [])),
    request_body(content = TokenQueryForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The state of the token", body = IntrospectionBody),
        FormProblems, ClientProblems, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn introspect(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    form: Result<UrlEncodedForm<TokenQueryForm>, Problem>,
) -> Result<Response, Problem> {
    let (client, token) = authenticate_query(&state, &headers, &origin, form).await?;
    let found = service::introspect(&state.service, client, &token, &origin, Utc::now())
        .await
        .map_err(oauth_problem)?;
    let body = found.map_or_else(IntrospectionBody::default, |found| {
        IntrospectionBody::active(found, state.service.issuer(), state.service.audience())
    });
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

impl IntrospectionBody {
    fn active(found: Introspection, issuer: &str, audience: &str) -> Self {
        let body = match found {
            Introspection::Session { kind, claims, username } => {
                Self::of_session(kind, &claims, username, audience)
            }
            Introspection::Client(claims) => Self::of_client(&claims),
            Introspection::Exchanged(token) => Self::of_exchanged(&token),
        };
        Self { active: true, iss: Some(issuer.to_owned()), ..body }
    }

    fn of_session(kind: TokenKind, claims: &SessionToken, username: String, audience: &str) -> Self {
        Self {
            token_type: Some(match kind {
                TokenKind::Access => "bearer",
                TokenKind::Refresh => TokenKind::Refresh.as_str(),
            }),
            sub: Some(claims.user_id.to_string()),
            username: Some(username),
            exp: Some(claims.expires_at),
            iat: Some(claims.issued_at.timestamp()),
            nbf: Some(claims.not_before),
            aud: Some(audience.to_owned()),
            jti: Some(claims.jti),
            client_id: Some(ClientId::or_none_named(claims.client.as_ref()).to_owned()),
            sid: Some(claims.session_id),
            scope: claims.scope.as_deref().map(str::to_owned),
            groups: claims.groups.as_deref().map(<[String]>::to_vec),
            ..Self::default()
        }
    }

    fn of_exchanged(token: &AcceptedExchangedToken) -> Self {
        let claims = token.claims();
        let (sub, sid) = claims.subject.to_claims();
        Self {
            token_type: Some("bearer"),
            sub: Some(sub),
            username: token.person().map(|person| person.username.clone()),
            exp: Some(claims.expires_at),
            iat: Some(claims.issued_at.timestamp()),
            nbf: Some(claims.not_before),
            aud: Some(claims.audience.to_string()),
            jti: Some(claims.jti),
            client_id: Some(claims.actors.current().as_str().to_owned()),
            sid,
            scope: claims.scope.as_deref().map(str::to_owned),
            act: Some(claims.actors.to_claim()),
            ..Self::default()
        }
    }

    fn of_client(claims: &ClientToken) -> Self {
        Self {
            token_type: Some("bearer"),
            sub: Some(claims.client.as_str().to_owned()),
            exp: Some(claims.expires_at),
            iat: Some(claims.issued_at.timestamp()),
            nbf: Some(claims.not_before),
            aud: Some(claims.audience.to_string()),
            jti: Some(claims.jti),
            client_id: Some(claims.client.as_str().to_owned()),
            scope: claims.scope.as_deref().map(str::to_owned),
            ..Self::default()
        }
    }
}
