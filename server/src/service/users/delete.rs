//! Deleting an account, by an administrator.

use super::change::refused_as_last;
use crate::domain::{AuditKind, Origin};
use crate::service::announce_again::announce_recent_ends;
use crate::service::{Permitted, Service, ServiceError};
use crate::store::Administered;

/// Deletes the account; when this returns, every replica refuses its tokens. So they do when it returns that there is no such
/// account: an earlier attempt may have deleted it.
///
/// # Errors
/// [`ServiceError::UnknownAccount`], [`ServiceError::LastSuperuser`], [`ServiceError::HoldsMore`],
/// [`ServiceError::Unavailable`]
pub async fn delete_user(
    service: &Service,
    permitted: &Permitted,
    user_id: i64,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let done = service
        .store
        .delete_account(user_id, permitted.administrator(), origin)
        .await
        .map_err(|error| permitted.explain(service, error))?;
    match done {
        Administered::Unknown => {
            announce_recent_ends(service, user_id, None).await?;
            Err(ServiceError::UnknownAccount)
        }
        Administered::LastSuperuser => {
            service.record(&refused_as_last(AuditKind::UserDeleted, permitted, user_id, origin)).await?;
            Err(ServiceError::LastSuperuser)
        }
        Administered::Done((event, revoked)) => {
            service.emit(&event);
            service.revocation.announce_ended(&revoked).await?;
            Ok(())
        }
    }
}
