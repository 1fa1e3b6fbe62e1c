//! Getting an account, for an administrator.

use crate::service::{Permitted, Service, ServiceError};
use crate::store::Account;

/// The account with this id.
///
/// # Errors
/// [`ServiceError::UnknownAccount`], [`ServiceError::Unavailable`]
pub async fn show_user(
    service: &Service,
    permitted: &Permitted,
    user_id: i64,
) -> Result<Account, ServiceError> {
    service
        .store
        .find_account(user_id, permitted.administrator())
        .await
        .map_err(|error| permitted.explain(service, error))?
        .ok_or(ServiceError::UnknownAccount)
}
