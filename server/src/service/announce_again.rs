//! Announcing ends of sessions again. A request that ends sessions may be interrupted between its commit and the announcement:
//! the client gets no answer, or 503, and repeats it. What was done is found then, and the repeated request is answered only
//! when every replica knows of it, whatever the answer is.

use uuid::Uuid;

use super::{Service, ServiceError};

/// Announces the end of this session of an account, if it is recent.
///
/// # Errors
/// [`ServiceError::Unavailable`] when it could not be announced to the other replicas.
pub(in crate::service) async fn announce_recent_end(
    service: &Service,
    session_id: Uuid,
    user_id: i64,
) -> Result<(), ServiceError> {
    let ended = service.store.recent_end(session_id, user_id).await?;
    service.revocation.announce_ended(&ended).await?;
    Ok(())
}

/// Announces the recent ends of an account, which may have been deleted, and of a session of it.
///
/// # Errors
/// As [`announce_recent_end`].
pub(in crate::service) async fn announce_recent_ends(
    service: &Service,
    user_id: i64,
    session_id: Option<Uuid>,
) -> Result<(), ServiceError> {
    let ended = service.store.recent_ends(user_id, session_id).await?;
    service.revocation.announce_ended(&ended).await?;
    Ok(())
}
