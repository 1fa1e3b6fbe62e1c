//! Confirming a change of address by the link sent to the new address.

use serde_json::json;

use crate::crypto::OneTimeSecret;
use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::{Service, ServiceError};
use crate::store::ConfirmationOutcome;

/// Makes the address that the link was sent to the account's address and voids every other link. If another account has
/// taken the address, the caller sees the same error as for any invalid link.
///
/// # Errors
/// [`ServiceError::InvalidOneTimeToken`], [`ServiceError::Unavailable`]
pub async fn confirm_email_change(
    service: &Service,
    token: &str,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let event = |user_id| AuditEvent::own(AuditKind::EmailChanged, user_id, origin);
    match service.store.confirm_email_change(&OneTimeSecret::hash_of(token), origin).await? {
        ConfirmationOutcome::Changed(user_id) => {
            service.emit(&event(user_id));
            service.outbox.wake();
            Ok(())
        }
        ConfirmationOutcome::Taken(user_id) => {
            service.record(&event(user_id).refused().with(json!({ "reason": "email_taken" }))).await?;
            Err(ServiceError::InvalidOneTimeToken)
        }
        ConfirmationOutcome::BadLink => Err(ServiceError::InvalidOneTimeToken),
    }
}
