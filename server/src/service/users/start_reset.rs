//! Starting a password reset for an account, by an administrator.

use crate::domain::Origin;
use crate::service::{Permitted, Service, ServiceError};
use crate::store::ResetStarted;

/// Sends the owner a link to choose a password; an administrator never chooses it for an existing account
/// (OWASP ASVS 5.0 §6.4.6). The old password stays valid until then.
///
/// # Errors
/// [`ServiceError::MailDisabled`], [`ServiceError::UnknownAccount`], [`ServiceError::AccountInactive`],
/// [`ServiceError::Unavailable`]
pub async fn start_user_reset(
    service: &Service,
    permitted: &Permitted,
    user_id: i64,
    origin: &Origin,
) -> Result<(), ServiceError> {
    if !service.outbox.enabled {
        return Err(ServiceError::MailDisabled);
    }
    let done = service
        .store
        .start_reset(user_id, permitted.administrator(), origin)
        .await
        .map_err(|error| permitted.explain(service, error))?;
    match done {
        ResetStarted::Unknown => Err(ServiceError::UnknownAccount),
        ResetStarted::Deactivated => Err(ServiceError::AccountInactive),
        ResetStarted::Yes(event) => {
            service.emit(&event);
            service.outbox.wake();
            Ok(())
        }
    }
}
