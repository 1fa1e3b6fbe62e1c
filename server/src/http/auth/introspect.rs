//! `POST /api/v1/auth/introspect`

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::crypto::TokenKind;
use crate::http::client_auth::authenticated_form;
use crate::http::form::UrlEncodedForm;
use crate::http::middleware::RequestOrigin;
use crate::http::oauth::oauth_problem;
use crate::http::problem::Problem;
use crate::http::problem_docs::{ClientProblems, FormProblems, LimitedProblem, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, Introspection};

/// The token that is asked about (RFC 7662 §2.1, RFC 7009 §2.1).
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form for the OpenAPI document; it is read field by field")]
pub struct TokenQueryForm {
    /// An access or a refresh token.
    #[schema(min_length = 1)]
    token: String,
    /// May be present; the token itself says what it is.
    token_type_hint: Option<String>,
    /// With `client_secret`, where there is no `Authorization` header.
    client_id: Option<String>,
    /// See `client_id`.
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// What is known of the token (RFC 7662 §2.2). A token that would not be accepted has `active` only.
#[derive(Default, Serialize, ToSchema)]
#[serde(default)]
pub struct IntrospectionBody {
    /// Whether it would be accepted now: signed by us, not expired, not revoked, the account active.
    active: bool,
    /// `bearer` for an access token. `refresh_token` for a refresh token, which is no good for anything but an
    /// exchange: who protects a resource must look at this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "bearer")]
    token_type: Option<&'static str>,
    /// The account's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1")]
    sub: Option<String>,
    /// The account's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "john")]
    username: Option<String>,
    /// When it expires, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// From when it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// Whom it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Uuid>,
    /// Its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<Uuid>,
}

/// Ask what a token is worth
///
/// RFC 7662. For programs that cannot verify a token themselves, or want to know of a logout at once. They show
/// who they are by a superuser's access token or by the client secret of the settings. Nothing is changed by it.
#[utoipa::path(
    post, path = "/api/v1/auth/introspect", tag = "programs", operation_id = "introspect",
    security(("client" = []), ("bearer" = []), ("password" = [])),
    request_body(content = TokenQueryForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What is known of the token", body = IntrospectionBody),
        FormProblems, ClientProblems, LimitedProblem, UnavailableProblem,
    )
)]
pub async fn introspect(
    State(state): State<ApiState>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    form: Result<UrlEncodedForm, Problem>,
) -> Result<Response, Problem> {
    let (client, form) = authenticated_form(&state, &headers, &origin, form).await?;
    let [token] = form.require(["token"]).map_err(|problem| problem.with_oauth_error("invalid_request"))?;
    let found = service::introspect(&state.service, client, token, &origin, Utc::now())
        .await
        .map_err(oauth_problem)?;
    let verifier = &state.service.verifier;
    let body = found.map_or_else(IntrospectionBody::default, |found| {
        IntrospectionBody::active(found, verifier.issuer(), verifier.audience())
    });
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

impl IntrospectionBody {
    fn active(found: Introspection, issuer: &str, audience: &str) -> Self {
        let token = found.token;
        Self {
            active: true,
            token_type: Some(match found.kind {
                TokenKind::Access => "bearer",
                TokenKind::Refresh => TokenKind::Refresh.as_str(),
            }),
            sub: Some(token.user_id.to_string()),
            username: Some(found.username),
            exp: Some(token.expires_at),
            iat: Some(token.issued_at.timestamp()),
            nbf: Some(token.not_before),
            iss: Some(issuer.to_owned()),
            aud: Some(audience.to_owned()),
            jti: Some(token.jti),
            sid: Some(token.session_id),
        }
    }
}
