//! Getting an account, for a superuser.

use crate::service::{Service, ServiceError, Superuser};
use crate::store::Account;

/// The account with this id.
///
/// # Errors
/// [`ServiceError::UnknownAccount`], [`ServiceError::Unavailable`]
pub async fn show_user(
    service: &Service,
    superuser: Superuser,
    user_id: i64,
) -> Result<Account, ServiceError> {
    service
        .store
        .find_account(user_id, superuser.administrator())
        .await
        .map_err(|error| superuser.explain(service, error))?
        .ok_or(ServiceError::UnknownAccount)
}
