//! Showing that the own address is read.

use super::{FieldError, LimitedAction, Service, ServiceError};
use crate::crypto::OneTimeSecret;
use crate::domain::{AuditEvent, AuditKind, EmailAddress, Origin};

/// Verifies the address of the account by the token in the mailed link. Nobody is logged in by it.
///
/// # Errors
/// [`ServiceError::InvalidOneTimeToken`], [`ServiceError::Unavailable`]
pub async fn verify_email(service: &Service, token: &str, origin: &Origin) -> Result<(), ServiceError> {
    let verified = service.store.verify_email(&OneTimeSecret::hash_of(token), origin).await?;
    let user_id = verified.ok_or(ServiceError::InvalidOneTimeToken)?;
    service.tell(&AuditEvent::own(AuditKind::EmailVerified, user_id, origin));
    Ok(())
}

/// Asks for another verification mail. Neither the answer nor its time tells whether there is an account that needs
/// one (OWASP ASVS 5.0 §6.3.8).
///
/// # Errors
/// [`ServiceError::MailDisabled`], [`ServiceError::Invalid`] when it is no address, [`ServiceError::RateLimited`],
/// [`ServiceError::Unavailable`]
pub async fn resend_verification(
    service: &Service,
    email: &str,
    origin: &Origin,
) -> Result<(), ServiceError> {
    if !service.mail_enabled {
        return Err(ServiceError::MailDisabled);
    }
    let email = EmailAddress::parse(email).ok_or_else(|| {
        ServiceError::Invalid(vec![FieldError {
            field: "email",
            message: "is not an e-mail address".to_owned(),
        }])
    })?;
    // Kept: each asks for a letter.
    let _attempt = service.limit(LimitedAction::VerifyResend, email.as_str(), None, origin).await?;
    let event = service.store.enqueue_verification(&email, origin).await?;
    service.tell(&event);
    service.outbox_wake.notify_one();
    Ok(())
}
