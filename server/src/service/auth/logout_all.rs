//! Ending every session of the current user (OWASP ASVS 5.0 §7.4.5).

use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::{Authenticated, Service, ServiceError};
use crate::store::StoreError;

/// Ends every session of the bearer's account, this one too.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`] when this one has ended since it was asked;
/// [`ServiceError::Unavailable`] when the end could not be made known; it may be asked for again.
pub async fn logout_all(
    service: &Service,
    bearer: Authenticated,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let event = AuditEvent::own(AuditKind::LogoutAll, bearer.user_id, origin).in_session(bearer.session_id);
    match service.store.end_every_session(bearer.actor(), &event).await {
        Ok(revoked) => {
            service.emit(&event);
            service.revocation.announce(&revoked).await?;
            Ok(())
        }
        Err(StoreError::SessionOver) => {
            announce_earlier_ends(service, bearer.user_id).await?;
            Err(ServiceError::InvalidAccessToken)
        }
        Err(other) => Err(other.into()),
    }
}

/// For an account whose own session is over: perhaps an earlier attempt ended them all and could not make it known.
pub(in crate::service) async fn announce_earlier_ends(
    service: &Service,
    user_id: i64,
) -> Result<(), ServiceError> {
    let revoked = service.store.account_revocations(user_id).await?;
    service.revocation.announce(&revoked).await?;
    Ok(())
}
