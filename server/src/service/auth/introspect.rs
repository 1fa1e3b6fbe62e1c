//! What a token is worth (RFC 7662).

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::crypto::{TokenKind, VerifiedToken};
use crate::domain::{AuditEvent, AuditKind, Origin, Outcome};
use crate::service::authenticate::map_token_error;
use crate::service::{Service, ServiceError, TokenClient};

/// A token that would be accepted now.
#[derive(Debug, Clone)]
pub struct Introspection {
    /// Access or refresh.
    pub kind: TokenKind,
    /// What it says.
    pub token: VerifiedToken,
    /// The name of its account.
    pub username: String,
}

/// Looks at a token of either kind without using it: a refresh token is not rotated by it, and an old one is not
/// taken for theft. `None` when it would not be accepted, whatever the reason.
///
/// # Errors
/// [`ServiceError::Unavailable`] when that cannot be known.
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
                TokenKind::Access => find_owner_of_access_token(service, token).await?,
                TokenKind::Refresh => {
                    let (session_id, user_id) = (token.session_id, token.user_id);
                    service.store.find_owner_of_refresh_token(token.jti, session_id, user_id).await?
                }
            };
            username.map(|username| Introspection { kind, token, username })
        }
        _ => None,
    };
    // Last: the answer was so before any logout that this does not see.
    asked_by.assert(service).await?;
    service.metrics.count_introspection(if found.is_some() { "active" } else { "inactive" });
    // It changes nothing and may come with every request of a program: a line and a count, no row.
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

async fn find_owner_of_access_token(
    service: &Service,
    token: VerifiedToken,
) -> Result<Option<String>, ServiceError> {
    let profile = service.store.find_profile(token.user_id).await?;
    // After the account was read, however long that took.
    if service.revocation.is_revoked(token.session_id, token.issued_at).await? {
        return Ok(None);
    }
    Ok(profile.filter(|profile| profile.is_active).map(|profile| profile.username))
}

/// A token of ours, by its signature and claims; it may have expired. The header's `typ` says which kind it is.
pub(in crate::service) fn verify_either_kind(
    service: &Service,
    token: &str,
) -> Result<Option<(TokenKind, VerifiedToken)>, ServiceError> {
    for kind in [TokenKind::Access, TokenKind::Refresh] {
        match service.verifier.verify_ignoring_expiry(kind, token) {
            Ok(verified) => return Ok(Some((kind, verified))),
            Err(error) => match map_token_error(error, ServiceError::InvalidAccessToken) {
                ServiceError::InvalidAccessToken => {}
                other => return Err(other),
            },
        }
    }
    Ok(None)
}
