//! Setting a password with a link sent by e-mail: a new one, or the first one of an invited account.

use super::login::no_randomness;
use super::password_checks::check_new_password;
use crate::crypto::OneTimeSecret;
use crate::domain::{Origin, Password};
use crate::service::announce_again::announce_recent_ends;
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
    let owner = match find_link_owner(service, token, &PASSWORD_LINKS).await {
        Err(ServiceError::InvalidOneTimeToken) => return refuse_link(service, token).await,
        found => found?,
    };
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
        .await?;
    let Some(reset) = reset else { return refuse_link(service, token).await };
    service.emit(&reset.event(origin));
    service.outbox.wake();
    service.revocation.announce_ended(&reset.revoked).await?;
    // The password is set. The next reset or login deletes what this one leaves.
    if let Err(error) = service.store.delete_surplus_devices(reset.user_id, false).await {
        tracing::debug!(%error, "surplus devices could not be deleted");
    }
    Ok(device)
}

/// Refuses a link that is not valid. An earlier request may have used it and failed to announce the sessions that it ended.
async fn refuse_link<T>(service: &Service, token: &str) -> Result<T, ServiceError> {
    if let Some(user_id) = service.store.find_user_of_used_link(&OneTimeSecret::hash_of(token)).await? {
        announce_recent_ends(service, user_id, None).await?;
    }
    Err(ServiceError::InvalidOneTimeToken)
}
