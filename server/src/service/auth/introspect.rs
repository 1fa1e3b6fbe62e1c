//! Introspecting a token (RFC 7662).

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::crypto::{TokenKind, VerifiedToken};
use crate::domain::{AuditEvent, AuditKind, Origin, Outcome};
use crate::service::authenticate::map_token_error;
use crate::service::{Service, ServiceError, TokenClient};

/// A valid token.
#[derive(Debug, Clone)]
pub struct Introspection {
    /// Access or refresh.
    pub kind: TokenKind,
    /// Its claims.
    pub token: VerifiedToken,
    /// The username of its account.
    pub username: String,
}

/// Checks a token of either kind without using it: a refresh token is not rotated, and a rotated one is not treated as
/// stolen. `None` when the token would not be accepted, for whatever reason.
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
    let found = match verify_either_kind(service, token)? {
        Some((kind, token)) if !token.has_expired(now) => {
            let username = match kind {
                TokenKind::Access => service.accounts.read(&token).await?.map(|profile| profile.username),
                TokenKind::Refresh => {
                    let (session_id, user_id) = (token.session_id, token.user_id);
                    service.store.find_owner_of_refresh_token(token.jti, session_id, user_id).await?
                }
            };
            username.map(|username| Introspection { kind, token, username })
        }
        _ => None,
    };
    // Checked last, so that the account was read before any logout that this check misses.
    asked_by.assert(service).await?;
    service.metrics.count_introspection(if found.is_some() { "active" } else { "inactive" });
    // Introspection changes nothing and may accompany every request: a log line and a metric, no row.
    service.emit(&AuditEvent {
        kind: AuditKind::TokenIntrospected,
        outcome: Outcome::Success,
        actor_id: asked_by.actor_id(),
        user_id: found.as_ref().map(|found| found.token.user_id),
        session_id: found.as_ref().map(|found| found.token.session_id),
        origin: Some(origin),
        detail: json!({ "active": found.is_some() }),
    });
    Ok(found)
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
