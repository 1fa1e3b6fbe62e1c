//! Ending the sessions of an account, by an administrator.

use crate::domain::Origin;
use crate::service::announce_again::announce_recent_ends;
use crate::service::{Permitted, Service, ServiceError};
use crate::store::{Administered, StoreError};

/// Ends every session of the account: when this returns, every replica refuses their tokens.
///
/// # Errors
/// [`ServiceError::UnknownAccount`]; [`ServiceError::Unavailable`] when the end could not be made known; it may be
/// asked for again.
pub async fn end_user_sessions(
    service: &Service,
    permitted: &Permitted,
    user_id: i64,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let done = service.store.end_account_sessions(user_id, permitted.administrator(), origin).await;
    if matches!(done, Err(StoreError::SessionOver)) && permitted.user_id() == Some(user_id) {
        announce_recent_ends(service, user_id, None).await?;
    }
    match done.map_err(|error| permitted.explain(service, error))? {
        Administered::Done((event, revoked)) => {
            if let Some(event) = &event {
                service.emit(event);
            }
            service.revocation.announce_ended(&revoked).await?;
            Ok(())
        }
        Administered::Unknown | Administered::LastSuperuser => {
            announce_recent_ends(service, user_id, None).await?;
            Err(ServiceError::UnknownAccount)
        }
    }
}
