//! Getting the account of an access token.

use chrono::{DateTime, Utc};

use crate::service::authenticate::verify;
use crate::service::{Service, ServiceError};
use crate::store::Profile;

/// The account of an access token.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`], also when the account is gone or deactivated; [`ServiceError::Unavailable`]
/// when the token cannot be checked: it is then never accepted.
pub async fn show_profile(
    service: &Service,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Profile, ServiceError> {
    let token = verify(service, token, now)?;
    service.accounts.read(&token).await?.ok_or(ServiceError::InvalidAccessToken)
}

/// The account with this id, if it may log in.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`] when the account is gone or deactivated, [`ServiceError::Unavailable`]
pub(in crate::service) async fn find_active_profile(
    service: &Service,
    user_id: i64,
) -> Result<Profile, ServiceError> {
    let profile = service.store.find_profile(user_id).await?;
    profile.filter(|profile| profile.is_active).ok_or(ServiceError::InvalidAccessToken)
}
