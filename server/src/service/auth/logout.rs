//! Ending the current session.

use chrono::Utc;
use uuid::Uuid;

use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::{Authenticated, Service, ServiceError};
use crate::store::RevokedSession;

/// Ends the session: when this returns, every replica refuses its access and refresh tokens. The refresh token of the
/// cookie is not read: if it belongs to this session, ending the session covers it; if it belongs to another, it is
/// ignored.
///
/// # Errors
/// [`ServiceError::Unavailable`] when the end could not be announced to the other replicas; the caller may retry.
pub async fn logout(service: &Service, bearer: Authenticated, origin: &Origin) -> Result<(), ServiceError> {
    let event = AuditEvent::own(AuditKind::Logout, bearer.user_id, origin).in_session(bearer.session_id);
    end_session(service, bearer.session_id, bearer.user_id, &event).await
}

/// Ends one session of an account and announces it to every replica.
pub(in crate::service) async fn end_session(
    service: &Service,
    session_id: Uuid,
    user_id: i64,
    event: &AuditEvent<'_>,
) -> Result<(), ServiceError> {
    let ended = service.store.end_session(session_id, user_id, event).await?;
    announce_end(service, session_id, ended, event).await
}

/// Announces to every replica that a session has ended, now or earlier.
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
        None => find_or_record_revocation(service, session_id).await?,
    };
    service.revocation.announce(revoked.as_slice()).await?;
    Ok(())
}

/// The revocation of a session that was not active when it was to be ended.
async fn find_or_record_revocation(
    service: &Service,
    session_id: Uuid,
) -> Result<Option<RevokedSession>, ServiceError> {
    // An earlier attempt ended the session but may not have announced it; announce it before answering.
    if let Some(revoked) = service.store.find_revocation(session_id).await? {
        return Ok(Some(revoked));
    }
    // The login was lost in a failover of the database, but a replica that asks Redis would accept the access tokens.
    let expiry = Utc::now() + service.tokens.access_lifetime;
    Ok(service.store.revoke_unknown_session(session_id, expiry).await?)
}
