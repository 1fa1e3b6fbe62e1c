//! Requesting another verification e-mail.

use crate::domain::Origin;
use crate::service::fields::parse_email;
use crate::service::{LimitedAction, Service, ServiceError};

/// Sends another verification e-mail. Neither the response nor its time reveals whether an unverified account has the
/// address (OWASP ASVS 5.0 §6.3.8).
///
/// # Errors
/// [`ServiceError::MailDisabled`], [`ServiceError::Invalid`] when it is no address, [`ServiceError::RateLimited`],
/// [`ServiceError::Unavailable`]
pub async fn resend_verification(
    service: &Service,
    email: &str,
    origin: &Origin,
) -> Result<(), ServiceError> {
    if !service.outbox.enabled {
        return Err(ServiceError::MailDisabled);
    }
    let email = parse_email(email)?;
    // The attempt stays counted: each one requests an e-mail.
    let _attempt = service.limit(LimitedAction::VerifyResend, email.as_str(), None, origin).await?;
    let event = service.store.enqueue_verification(&email, origin).await?;
    service.emit(&event);
    service.outbox.wake();
    Ok(())
}
