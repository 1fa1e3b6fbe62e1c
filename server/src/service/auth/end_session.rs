//! Ending one of the current user's sessions (OWASP ASVS 5.0 §7.5.2).

use uuid::Uuid;

use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::{Authenticated, Service, ServiceError};

/// Ends one session of the bearer's account: its tokens are refused by every replica when this returns. One that
/// has ended already is ended all the same.
///
/// # Errors
/// [`ServiceError::NotFound`] when the account has no such session, [`ServiceError::Unavailable`] when the end could
/// not be made known; it may be asked for again.
pub async fn end_session(
    service: &Service,
    bearer: Authenticated,
    session_id: Uuid,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let event = AuditEvent::own(AuditKind::SessionEnded, bearer.user_id, origin).in_session(session_id);
    let ended = if session_id == bearer.session_id {
        // A logout: what has ended already is ended all the same.
        service.store.end_session(session_id, bearer.user_id, &event).await?
    } else {
        service.store.end_own_session(session_id, bearer.actor(), &event).await?
    };
    let revoked = match ended {
        Some(revoked) => {
            service.emit(&event);
            revoked
        }
        // An earlier attempt ended it and may not have made it known: only then may the answer be yes.
        None => service
            .store
            .find_own_revocation(session_id, bearer.user_id)
            .await?
            .ok_or(ServiceError::NotFound)?,
    };
    service.revocation.announce(&[revoked]).await?;
    Ok(())
}
