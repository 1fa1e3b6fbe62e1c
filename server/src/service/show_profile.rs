//! The own profile.

use super::{Authenticated, Service, ServiceError};
use crate::store::Profile;

/// The account behind the bearer.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`] when the account is gone or deactivated, [`ServiceError::Unavailable`]
pub async fn show_profile(service: &Service, bearer: Authenticated) -> Result<Profile, ServiceError> {
    let profile = service.store.find_profile(bearer.user_id).await?;
    profile.filter(|profile| profile.is_active).ok_or(ServiceError::InvalidAccessToken)
}
