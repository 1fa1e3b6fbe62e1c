//! Ending one of the current user's sessions (OWASP ASVS 5.0 §7.5.2).

use uuid::Uuid;

use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::announce_again::announce_recent_end;
use crate::service::auth::logout::announce_end;
use crate::service::{Authenticated, Service, ServiceError};

/// Ends one session of the bearer's account: when this returns, every replica refuses its tokens. Ending a session that
/// has already ended succeeds.
///
/// # Errors
/// [`ServiceError::NotFound`] when the account has no such session, [`ServiceError::Unavailable`] when the end could not
/// be announced to the other replicas; the caller may retry.
pub async fn end_session(
    service: &Service,
    bearer: Authenticated,
    session_id: Uuid,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let event = AuditEvent::own(AuditKind::SessionEnded, bearer.user_id, origin).in_session(session_id);
    let ended = if session_id == bearer.session_id {
        // A logout: it succeeds even if the session has already ended.
        let ended = service.store.end_session(session_id, bearer.user_id, &event).await?;
        return announce_end(service, (session_id, bearer.user_id), ended.into_revoked(), &event).await;
    } else {
        service.store.end_own_session(session_id, bearer.actor(), &event).await?
    };
    match ended {
        Some(revoked) => {
            service.emit(&event);
            service.revocation.announce(&[revoked]).await?;
            Ok(())
        }
        None if service.store.has_ended_own_session(session_id, bearer.user_id).await? => {
            announce_recent_end(service, session_id, bearer.user_id).await
        }
        None => Err(ServiceError::NotFound),
    }
}
