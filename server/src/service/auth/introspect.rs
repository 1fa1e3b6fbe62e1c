//! Introspecting a token (RFC 7662).

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::crypto::{ClientToken, SessionToken, TokenKind, TokenOwner, VerifiedToken};
use crate::domain::{AuditEvent, AuditKind, Origin, Outcome};
use crate::service::authenticate::map_token_error;
use crate::service::client_tokens::accept_client_token;
use crate::service::exchanged_tokens::{AcceptedExchangedToken, accept_exchanged_token};
use crate::service::{Service, ServiceError, TokenClient};

/// A valid token.
#[derive(Debug, Clone)]
pub enum Introspection {
    /// A person's.
    Session {
        /// Access or refresh.
        kind: TokenKind,
        /// Its claims.
        claims: SessionToken,
        /// The username of its account.
        username: String,
    },
    /// A client's access token.
    Client(ClientToken),
    /// A client's, which it got for the token of another.
    Exchanged(AcceptedExchangedToken),
}

impl Introspection {
    /// The account and the session of the token.
    fn session(&self) -> Option<(i64, Uuid)> {
        match self {
            Self::Session { claims, .. } => Some((claims.user_id, claims.session_id)),
            Self::Client(_) => None,
            Self::Exchanged(token) => match token.claims().subject {
                TokenOwner::Person { user_id, session_id } => Some((user_id, session_id)),
                TokenOwner::Client(_) => None,
            },
        }
    }
}

/// Checks a token of either kind without using it: a refresh token is not rotated, and a rotated one is not treated as
/// stolen. `None` when the token would not be accepted, for whatever reason, or does not concern the client that asks.
///
/// # Errors
/// [`ServiceError::Unavailable`] when validity cannot be determined.
pub async fn introspect(
    service: &Service,
    asked_by: TokenClient,
    token: &str,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<Option<Introspection>, ServiceError> {
    let concerns = |token: &VerifiedToken| asked_by.may_see(token, service.audience());
    let found = match verify_either_kind(service, token)? {
        Some((kind, token)) if !token.has_expired(now) && concerns(&token) => match token {
            VerifiedToken::Session(token) => introspect_session(service, kind, token).await?,
            VerifiedToken::Client(token) => accept_client_token(service, token)
                .await?
                .map(|accepted| Introspection::Client(accepted.claims().clone())),
            VerifiedToken::Exchanged(token) => {
                accept_exchanged_token(service, token).await?.map(Introspection::Exchanged)
            }
        },
        _ => None,
    };
    // Checked last, so that the account was read before any logout that this check misses.
    asked_by.assert(service).await?;
    service.metrics.count_introspection(if found.is_some() { "active" } else { "inactive" });
    let session = found.as_ref().and_then(Introspection::session);
    // Introspection changes nothing and may accompany every request: a log line and a metric, no row.
    service.emit(&AuditEvent {
        kind: AuditKind::TokenIntrospected,
        outcome: Outcome::Success,
        actor_id: asked_by.actor_id(),
        user_id: session.map(|(user_id, _)| user_id),
        session_id: session.map(|(_, session_id)| session_id),
        origin: Some(origin),
        detail: match asked_by.registered_id() {
            Some(client_id) => json!({ "active": found.is_some(), "client_id": client_id }),
            None => json!({ "active": found.is_some() }),
        },
    });
    Ok(found)
}

async fn introspect_session(
    service: &Service,
    kind: TokenKind,
    claims: SessionToken,
) -> Result<Option<Introspection>, ServiceError> {
    let username = match kind {
        TokenKind::Access => service.accounts.read(&claims).await?.map(|profile| profile.username),
        TokenKind::Refresh => {
            let (session_id, user_id) = (claims.session_id, claims.user_id);
            service.store.find_owner_of_refresh_token(claims.jti, session_id, user_id).await?
        }
    };
    Ok(username.map(|username| Introspection::Session { kind, claims, username }))
}

/// Verifies a token of this service by its signature and claims; it may have expired. The header's `typ` selects the kind.
pub(in crate::service) fn verify_either_kind(
    service: &Service,
    token: &str,
) -> Result<Option<(TokenKind, VerifiedToken)>, ServiceError> {
    for kind in [TokenKind::Access, TokenKind::Refresh] {
        match service.tokens.verifier.verify_ignoring_expiry(kind, token) {
            Ok(verified) => return Ok(Some((kind, verified))),
            Err(error) => match map_token_error(error, ServiceError::InvalidAccessToken) {
                ServiceError::InvalidAccessToken => {}
                other => return Err(other),
            },
        }
    }
    Ok(None)
}
