//! Setting a password with a link sent by e-mail: a new one, or the first one of an invited account.

use super::login::no_randomness;
use super::password_checks::check_new_password;
use crate::crypto::OneTimeSecret;
use crate::domain::{Origin, Password};
use crate::service::{LimitedAction, Service, ServiceError, find_link_owner};
use crate::store::TokenPurpose;

/// The purposes of links that set a password.
pub const PASSWORD_LINKS: [TokenPurpose; 2] = [TokenPurpose::PasswordReset, TokenPurpose::Invitation];

/// Sets a password and ends every session of the account. Returns the device cookie to set: the link proves that its user
/// reads the mail of the account, so others cannot lock this browser out. The token is used up only on success. Starts no session (OWASP
/// ASVS 5.0 §6.4.3).
///
/// # Errors
/// [`ServiceError::InvalidOneTimeToken`], [`ServiceError::Invalid`] for a password that is refused,
/// [`ServiceError::RateLimited`], [`ServiceError::Overloaded`], [`ServiceError::Unavailable`]
pub async fn reset_password(
    service: &Service,
    token: &str,
    new_password: Password,
    origin: &Origin,
) -> Result<OneTimeSecret, ServiceError> {
    // The token identifies the account for the limit: an account has at most one valid link.
    let attempt = service.limit(LimitedAction::Reset, token, None, origin).await?;
    let result = reset_within_limits(service, token, new_password, origin).await;
    match &result {
        Err(ServiceError::InvalidOneTimeToken | ServiceError::Invalid(_)) => {}
        _ => attempt.give_back().await,
    }
    result
}

async fn reset_within_limits(
    service: &Service,
    token: &str,
    new_password: Password,
    origin: &Origin,
) -> Result<OneTimeSecret, ServiceError> {
    // Before the hash, so that guessing tokens does not keep the hash pool busy.
    let owner = find_link_owner(service, token, &PASSWORD_LINKS).await?;
    check_new_password(
        &service.rules.passwords,
        &new_password,
        (&owner.username, &owner.email, &owner.name),
    )?;
    let password_hash = service.hashing.hash(new_password).await?;
    let device = OneTimeSecret::generate().ok_or_else(no_randomness)?;
    let reset = service
        .store
        .reset_password(&OneTimeSecret::hash_of(token), &password_hash, &device.hash(), origin)
        .await?
        .ok_or(ServiceError::InvalidOneTimeToken)?;
    service.emit(&reset.event(origin));
    service.outbox.wake();
    service.store.delete_surplus_devices(reset.user_id, false).await?;
    service.revocation.announce_ended(&reset.revoked).await?;
    Ok(device)
}
