//! The own sessions: seeing them, ending one, ending all (OWASP ASVS 5.0 §7.4.5, §7.5.2).

use uuid::Uuid;

use super::{Authenticated, Service, ServiceError};
use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::store::{SessionRow, StoreError};

/// The sessions of the bearer's account that go on.
///
/// # Errors
/// [`ServiceError::Unavailable`]
pub async fn list_sessions(
    service: &Service,
    bearer: Authenticated,
) -> Result<Vec<SessionRow>, ServiceError> {
    Ok(service.store.list_sessions(bearer.actor()).await?)
}

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
            service.tell(&event);
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
            service.tell(&event);
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
pub(super) async fn announce_earlier_ends(service: &Service, user_id: i64) -> Result<(), ServiceError> {
    let revoked = service.store.account_revocations(user_id).await?;
    service.revocation.announce(&revoked).await?;
    Ok(())
}
