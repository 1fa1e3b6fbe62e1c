//! What a token is worth (RFC 7662).

use chrono::{DateTime, Utc};

use super::authenticate::map_token_error;
use super::{Service, ServiceError, TokenClient};
use crate::crypto::{TokenKind, VerifiedToken};

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
    _asked_by: TokenClient,
    token: &str,
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
    service.metrics.count_introspection(if found.is_some() { "active" } else { "inactive" });
    Ok(found)
}

async fn find_owner_of_access_token(
    service: &Service,
    token: VerifiedToken,
) -> Result<Option<String>, ServiceError> {
    if service.revocation.is_revoked(token.session_id, token.issued_at).await? {
        return Ok(None);
    }
    let profile = service.store.find_profile(token.user_id).await?;
    Ok(profile.filter(|profile| profile.is_active).map(|profile| profile.username))
}

/// A token of ours, by its signature and claims; it may have expired. The header's `typ` says which kind it is.
pub(super) fn verify_either_kind(
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
