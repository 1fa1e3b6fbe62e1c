//! Requesting a change of the current user's e-mail address.

use super::password_checks::wrong_password;
use crate::domain::{AuditKind, Origin, Password};
use crate::service::fields::parse_email;
use crate::service::{Authenticated, FieldError, LimitedAction, Service, ServiceError};
use crate::store::EmailChange;

/// Sends a confirmation link to the new address and a notice to the current one, which stays until the link is followed.
/// The result does not reveal whether another account has the address (OWASP ASVS 5.0 §6.3.8).
///
/// # Errors
/// [`ServiceError::Invalid`] for a wrong password or an address that cannot be the account's,
/// [`ServiceError::MailDisabled`], [`ServiceError::InvalidAccessToken`], [`ServiceError::Overloaded`],
/// [`ServiceError::Unavailable`]
pub async fn request_email_change(
    service: &Service,
    bearer: Authenticated,
    password: Password,
    email: &str,
    origin: &Origin,
) -> Result<(), ServiceError> {
    if !service.outbox.enabled {
        return Err(ServiceError::MailDisabled);
    }
    let new_email = parse_email(email)?;
    let fault = |message: &str| ServiceError::Invalid(vec![FieldError::new("email", message)]);
    // Where registration is restricted to some domains, a registered account must not move to another domain either.
    let registration = &service.rules.registration;
    if registration.enabled && !new_email.is_within(&registration.email_domains) {
        return Err(fault("is not of a domain that may register here"));
    }
    let kind = AuditKind::EmailChangeRequested;
    let confirmed = service.confirm_password(bearer, ("password", password), kind, origin).await?;
    if new_email.as_str().eq_ignore_ascii_case(&confirmed.account.email) {
        return Err(fault("is the address of this account already"));
    }
    // The attempt stays counted: each one sends e-mails.
    let _attempt = service.limit(LimitedAction::EmailChange, new_email.as_str(), None, origin).await?;
    let change = EmailChange {
        actor: bearer.actor(),
        verified_hash: &confirmed.verified_hash,
        new_email: &new_email,
        origin,
    };
    if !service.store.request_email_change(&change).await? {
        return Err(wrong_password("password"));
    }
    service.emit(&change.event());
    service.outbox.wake();
    Ok(())
}
