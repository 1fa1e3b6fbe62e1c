//! Showing an account to a superuser.

use super::{Service, ServiceError, Superuser};
use crate::store::Account;

/// The account with this id.
///
/// # Errors
/// [`ServiceError::UnknownAccount`], [`ServiceError::Unavailable`]
pub async fn show_user(
    service: &Service,
    _superuser: Superuser,
    user_id: i64,
) -> Result<Account, ServiceError> {
    service.store.find_account(user_id).await?.ok_or(ServiceError::UnknownAccount)
}
