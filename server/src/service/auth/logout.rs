//! Ending the current session.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::announce_again::announce_recent_end;
use crate::service::authenticate::{refuse_revoked_to_end, verify};
use crate::service::{Service, ServiceError};
use crate::store::{RevokedSession, SessionEnd};

/// Ends the session of an access token: when this returns, every replica refuses its access and refresh tokens. The refresh
/// token of the cookie is not read: if it belongs to this session, ending the session covers it; if it belongs to another, it is
/// ignored.
///
/// The statement that ends the session also finds out whether it is active, so that the revocation of the token is only
/// checked if it is not.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`]; [`ServiceError::Unavailable`] when the end could not be announced to the other
/// replicas; the caller may retry.
pub async fn logout(
    service: &Service,
    token: &str,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let token = verify(service, token, now)?;
    let session = (token.session_id, token.user_id);
    let event = AuditEvent::own(AuditKind::Logout, token.user_id, origin).in_session(token.session_id);
    let ended = service.store.end_session(token.session_id, token.user_id, &event).await?;
    if ended == SessionEnd::Over {
        refuse_revoked_to_end(service, &token).await?;
    }
    announce_end(service, session, ended.into_revoked(), &event).await
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
