//! What a mailed link is for, before anybody presses its button.

use crate::crypto::OneTimeSecret;
use crate::service::{Service, ServiceError};
use crate::store::{LinkOwner, TokenPurpose};

/// Whose link this is; uses nothing up, since software that guards mailboxes follows links too.
///
/// # Errors
/// [`ServiceError::InvalidOneTimeToken`], [`ServiceError::Unavailable`]
pub async fn find_link_owner(
    service: &Service,
    token: &str,
    purposes: &[TokenPurpose],
) -> Result<LinkOwner, ServiceError> {
    let found = service.store.find_link_owner(&OneTimeSecret::hash_of(token), purposes).await?;
    found.ok_or(ServiceError::InvalidOneTimeToken)
}
