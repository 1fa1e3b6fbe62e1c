//! Ending every session of the current user (OWASP ASVS 5.0 §7.4.5).

use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::announce_again::announce_recent_ends;
use crate::service::{Authenticated, Service, ServiceError};
use crate::store::StoreError;

/// Ends every session of the bearer's account, including the current one.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`] when the current session has ended in the meantime;
/// [`ServiceError::Unavailable`] when the end could not be announced to the other replicas; the caller may retry.
pub async fn logout_all(
    service: &Service,
    bearer: Authenticated,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let event = AuditEvent::own(AuditKind::LogoutAll, bearer.user_id, origin).in_session(bearer.session_id);
    match service.store.end_every_session(bearer.actor(), &event).await {
        Ok(revoked) => {
            service.emit(&event);
            service.revocation.announce_ended(&revoked).await?;
            Ok(())
        }
        Err(StoreError::SessionOver) => {
            announce_recent_ends(service, bearer.user_id, None).await?;
            Err(ServiceError::InvalidAccessToken)
        }
        Err(other) => Err(other.into()),
    }
}
