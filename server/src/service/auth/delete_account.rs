//! Deleting the current user's account.

use serde_json::json;

use super::password_checks::wrong_password;
use crate::domain::{AuditEvent, AuditKind, Origin, Password};
use crate::service::{Authenticated, Service, ServiceError};
use crate::store::DeletionOutcome;

/// Checks that self-service deletion is enabled.
///
/// # Errors
/// [`ServiceError::AccountDeletionDisabled`]
pub fn check_account_deletion_enabled(service: &Service) -> Result<(), ServiceError> {
    if service.rules.accounts.self_deletion { Ok(()) } else { Err(ServiceError::AccountDeletionDisabled) }
}

/// Deletes the bearer's account and all its data; audit events keep its id. A notice is sent by e-mail.
///
/// # Errors
/// Those of [`check_account_deletion_enabled`], [`ServiceError::Invalid`] for a wrong password,
/// [`ServiceError::LastSuperuser`], [`ServiceError::InvalidAccessToken`], [`ServiceError::Overloaded`],
/// [`ServiceError::Unavailable`]
pub async fn delete_account(
    service: &Service,
    bearer: Authenticated,
    password: Password,
    origin: &Origin,
) -> Result<(), ServiceError> {
    check_account_deletion_enabled(service)?;
    let kind = AuditKind::AccountDeleted;
    let confirmed = service.confirm_password(bearer, ("password", password), kind, origin).await?;
    let event = AuditEvent::own(kind, bearer.user_id, origin).in_session(bearer.session_id);
    match service.store.delete_own_account(bearer.actor(), &confirmed.verified_hash, &event).await? {
        DeletionOutcome::Deleted(revoked) => {
            service.emit(&event);
            service.outbox.wake();
            service.revocation.announce_ended(&revoked).await?;
            Ok(())
        }
        DeletionOutcome::LastSuperuser => {
            service.record(&event.refused().with(json!({ "reason": "last_superuser" }))).await?;
            Err(ServiceError::LastSuperuser)
        }
        DeletionOutcome::NotVerified => Err(wrong_password("password")),
    }
}
