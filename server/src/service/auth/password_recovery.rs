//! Requesting a password reset.

use crate::domain::Origin;
use crate::service::fields::parse_email;
use crate::service::{DeviceCookie, LimitedAction, Service, ServiceError};

/// Puts the request into the outbox. Nothing here depends on whether an account has the address, so that neither the
/// response nor its time reveals it (OWASP ASVS 5.0 §6.3.8).
///
/// # Errors
/// [`ServiceError::MailDisabled`], [`ServiceError::Invalid`] when it is no address, [`ServiceError::RateLimited`],
/// [`ServiceError::Unavailable`]
pub async fn recover_password(
    service: &Service,
    email: &str,
    device: Option<DeviceCookie<'_>>,
    origin: &Origin,
) -> Result<(), ServiceError> {
    if !service.outbox.enabled {
        return Err(ServiceError::MailDisabled);
    }
    let email = parse_email(email)?;
    let device = service.find_device(device).await?;
    // The attempt stays counted: each one requests an e-mail.
    let _attempt = service.limit(LimitedAction::Recovery, email.as_str(), device.as_ref(), origin).await?;
    let event = service.store.enqueue_recovery(&email, origin).await?;
    service.emit(&event);
    service.outbox.wake();
    Ok(())
}
