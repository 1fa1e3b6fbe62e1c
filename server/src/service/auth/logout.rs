//! Ending the current session.

use chrono::Utc;
use uuid::Uuid;

use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::announce_again::announce_recent_end;
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
    announce_end(service, (session_id, user_id), ended, event).await
}

/// Announces to every replica that a session has ended, now or earlier.
pub(in crate::service) async fn announce_end(
    service: &Service,
    session: (Uuid, i64),
    ended: Option<RevokedSession>,
    event: &AuditEvent<'_>,
) -> Result<(), ServiceError> {
    if ended.is_some() {
        service.emit(event);
        service.revocation.announce(ended.as_slice()).await?;
        return Ok(());
    }
    // If the login was lost in a failover of the database, a replica that asks Redis would accept the access tokens.
    let expiry = Utc::now() + service.tokens.access_lifetime;
    let recorded = service.store.revoke_unknown_session(session, expiry).await?;
    service.revocation.announce(recorded.as_slice()).await?;
    announce_recent_end(service, session.0, session.1).await
}
