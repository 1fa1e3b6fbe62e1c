//! Choosing a new password by a mailed link.

use super::{FieldError, Service, ServiceError};
use crate::crypto::OneTimeSecret;
use crate::domain::{AuditEvent, AuditKind, EmailAddress, Origin, Password, PersonName, Username};

/// Whether a form for this token makes sense.
///
/// # Errors
/// [`ServiceError::Unavailable`]
pub async fn reset_token_is_good(service: &Service, token: &str) -> Result<bool, ServiceError> {
    Ok(service.store.find_reset_subject(&OneTimeSecret::hash_of(token)).await?.is_some())
}

/// Sets a new password and ends every session of the account. The token is used up only when it succeeds.
/// Nobody is logged in by it.
///
/// # Errors
/// [`ServiceError::InvalidOneTimeToken`], [`ServiceError::Invalid`] for a password that is refused,
/// [`ServiceError::Overloaded`], [`ServiceError::Unavailable`]
pub async fn reset_password(
    service: &Service,
    token: &str,
    new_password: Password,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let token_hash = OneTimeSecret::hash_of(token);
    // Before the hash, so that guessing tokens does not keep the hash pool busy.
    let Some(subject) = service.store.find_reset_subject(&token_hash).await? else {
        return Err(ServiceError::InvalidOneTimeToken);
    };
    let names = (
        Username::parse(&subject.username),
        EmailAddress::parse(&subject.email),
        PersonName::parse(&subject.name),
    );
    let (Some(username), Some(email), Some(name)) = names else {
        return Err(ServiceError::Internal("a stored name breaks today's rules".to_owned()));
    };
    new_password.check_new(&username, &email, &name).map_err(|refusal| {
        ServiceError::Invalid(vec![FieldError { field: "new_password", message: refusal.to_string() }])
    })?;
    let password_hash = service.hashing.hash(new_password).await?;
    let (user_id, revoked) = service
        .store
        .reset_password(&token_hash, &password_hash, origin)
        .await?
        .ok_or(ServiceError::InvalidOneTimeToken)?;
    service.tell(&AuditEvent::own(AuditKind::PasswordReset, user_id, origin));
    service.outbox_wake.notify_one();
    service.revocation.announce(&revoked).await?;
    Ok(())
}
