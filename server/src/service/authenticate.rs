//! Who a bearer is.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Service, ServiceError};
use crate::crypto::{TokenError, TokenKind};

/// The bearer of a valid access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authenticated {
    /// The account.
    pub user_id: i64,
    /// The session.
    pub session_id: Uuid,
}

/// Checks an access token: signature, claims, expiry, revocation.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`]; [`ServiceError::Unavailable`] when revocation cannot be checked, never
/// a yes.
pub async fn authenticate(
    service: &Service,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Authenticated, ServiceError> {
    let verified = service
        .verifier
        .verify(TokenKind::Access, token, now)
        .map_err(|error| map_token_error(error, ServiceError::InvalidAccessToken))?;
    if service.revocation.is_revoked(verified.session_id, verified.issued_at).await? {
        return Err(ServiceError::InvalidAccessToken);
    }
    Ok(Authenticated { user_id: verified.user_id, session_id: verified.session_id })
}

pub(super) fn map_token_error(error: TokenError, otherwise: ServiceError) -> ServiceError {
    match error {
        TokenError::Invalid | TokenError::Expired => otherwise,
        TokenError::NoKeys => ServiceError::Unavailable(error.to_string()),
    }
}
