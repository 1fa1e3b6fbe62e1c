//! Ending the own session.

use uuid::Uuid;

use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::{Authenticated, Service, ServiceError};
use crate::store::RevokedSession;

/// Ends the session: its access tokens and its refresh token are refused by every replica when this returns.
/// The cookie's refresh token is of this very session or is none of our business, so it need not be read:
/// ending the session covers it, and one of another session is to be ignored.
///
/// # Errors
/// [`ServiceError::Unavailable`] when the end could not be made known; it may be asked for again.
pub async fn logout(service: &Service, bearer: Authenticated, origin: &Origin) -> Result<(), ServiceError> {
    let event = AuditEvent::own(AuditKind::Logout, bearer.user_id, origin).in_session(bearer.session_id);
    end_session(service, bearer.session_id, bearer.user_id, &event).await
}

/// Ends one session of an account and makes it known to every replica.
pub(in crate::service) async fn end_session(
    service: &Service,
    session_id: Uuid,
    user_id: i64,
    event: &AuditEvent<'_>,
) -> Result<(), ServiceError> {
    let ended = service.store.end_session(session_id, user_id, event).await?;
    announce_end(service, session_id, ended, event).await
}

/// Makes it known to every replica that a session has ended, now or before.
pub(in crate::service) async fn announce_end(
    service: &Service,
    session_id: Uuid,
    ended: Option<RevokedSession>,
    event: &AuditEvent<'_>,
) -> Result<(), ServiceError> {
    let revoked = match ended {
        Some(revoked) => {
            service.emit(event);
            Some(revoked)
        }
        // An earlier attempt ended it and could not make it known: only now may the answer be yes.
        None => service.store.find_revocation(session_id).await?,
    };
    service.revocation.announce(revoked.as_slice()).await?;
    Ok(())
}
