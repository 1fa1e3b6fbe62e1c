//! Finding the account of a link without using it up.

use crate::crypto::OneTimeSecret;
use crate::service::{Service, ServiceError};
use crate::store::{LinkOwner, TokenPurpose};

/// The account of a link. Does not use up the link, since mail scanners open links too.
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
