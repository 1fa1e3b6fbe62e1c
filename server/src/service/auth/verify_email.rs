//! Verifying the address of a new account.

use crate::crypto::OneTimeSecret;
use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::{Service, ServiceError};

/// Verifies the address of the account by the token of the link. Starts no session.
///
/// # Errors
/// [`ServiceError::InvalidOneTimeToken`], [`ServiceError::Unavailable`]
pub async fn verify_email(service: &Service, token: &str, origin: &Origin) -> Result<(), ServiceError> {
    let verified = service.store.verify_email(&OneTimeSecret::hash_of(token), origin).await?;
    let user_id = verified.ok_or(ServiceError::InvalidOneTimeToken)?;
    service.emit(&AuditEvent::own(AuditKind::EmailVerified, user_id, origin));
    Ok(())
}
