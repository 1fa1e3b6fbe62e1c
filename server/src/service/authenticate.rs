//! Authenticating the bearer of an access token.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::announce_again::announce_recent_ends;
use super::{Service, ServiceError};
use crate::crypto::{SessionToken, TokenError, TokenKind};
use crate::revocation::Subject;
use crate::store::Actor;

/// The bearer of a valid access token of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authenticated {
    pub user_id: i64,
    pub session_id: Uuid,
}

impl Authenticated {
    /// The actor for the store, which asserts in the transaction of the change that the session is still active.
    pub(super) fn actor(self) -> Actor {
        Actor { user_id: self.user_id, session_id: self.session_id }
    }
}

/// Checks an access token of a person: signature, claims, expiry, revocation. A client's token is refused.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`]; [`ServiceError::Unavailable`] when revocation cannot be checked, never
/// a yes.
pub async fn authenticate(
    service: &Service,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Authenticated, ServiceError> {
    let verified = verify(service, token, now)?;
    refuse_revoked(service, &verified).await?;
    Ok(Authenticated { user_id: verified.user_id, session_id: verified.session_id })
}

/// The same for a request that ends sessions: if the session is over, it announces the recent ends of the account before it
/// refuses, since an earlier attempt may have ended it.
///
/// # Errors
/// As [`authenticate`]; [`ServiceError::Unavailable`] when the ends could not be announced to the other replicas.
pub async fn authenticate_to_end(
    service: &Service,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Authenticated, ServiceError> {
    let verified = verify(service, token, now)?;
    refuse_revoked_to_end(service, &verified).await?;
    Ok(Authenticated { user_id: verified.user_id, session_id: verified.session_id })
}

/// Checks the revocation for [`authenticate_to_end`].
pub(super) async fn refuse_revoked_to_end(
    service: &Service,
    token: &SessionToken,
) -> Result<(), ServiceError> {
    let checked = refuse_revoked(service, token).await;
    if matches!(checked, Err(ServiceError::InvalidAccessToken)) {
        announce_recent_ends(service, token.user_id, Some(token.session_id)).await?;
    }
    checked
}

/// Checks the signature, the claims and the expiry of a person's access token.
pub(super) fn verify(
    service: &Service,
    token: &str,
    now: DateTime<Utc>,
) -> Result<SessionToken, ServiceError> {
    let verified = service.tokens.verifier.verify_session(TokenKind::Access, token, now);
    verified.map_err(|error| map_token_error(error, ServiceError::InvalidAccessToken))
}

/// Checks the revocation.
pub(super) async fn refuse_revoked(service: &Service, token: &SessionToken) -> Result<(), ServiceError> {
    if service.revocation.is_revoked(subject_of(token)).await? {
        return Err(ServiceError::InvalidAccessToken);
    }
    Ok(())
}

/// What revocation is asked about a token.
fn subject_of(token: &SessionToken) -> Subject {
    Subject::session(token.user_id, token.session_id, token.issued_at)
}

pub(super) fn map_token_error(error: TokenError, otherwise: ServiceError) -> ServiceError {
    match error {
        TokenError::Invalid | TokenError::Expired => otherwise,
        TokenError::NoKeys => ServiceError::Unavailable(error.to_string()),
    }
}
