//! Asking for a password reset.

use super::{FieldError, Service, ServiceError};
use crate::domain::EmailAddress;
use crate::store::MailKind;

/// Puts the request into the outbox. Whether an account has the address is not asked here, so that neither the
/// answer nor its time can tell (OWASP ASVS 5.0 §6.3.8).
///
/// # Errors
/// [`ServiceError::MailDisabled`], [`ServiceError::Invalid`] when it is no address, [`ServiceError::Unavailable`]
pub async fn recover_password(service: &Service, email: &str) -> Result<(), ServiceError> {
    if !service.mail_enabled {
        return Err(ServiceError::MailDisabled);
    }
    let Some(email) = EmailAddress::parse(email) else {
        return Err(ServiceError::Invalid(vec![FieldError {
            field: "email",
            message: "is not an e-mail address".to_owned(),
        }]));
    };
    service.store.enqueue_mail(MailKind::PasswordRecovery, email.as_str()).await?;
    service.outbox_wake.notify_one();
    Ok(())
}
