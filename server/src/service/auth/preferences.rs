//! Reading the current user's preferences.

use crate::service::{Authenticated, Service, ServiceError};

/// The language that the account has chosen; `None`: the default of the service.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`] when the account is gone or deactivated, [`ServiceError::Unavailable`]
pub async fn show_locale(service: &Service, bearer: Authenticated) -> Result<Option<String>, ServiceError> {
    Ok(service.store.find_own_account(bearer.actor()).await?.locale)
}
