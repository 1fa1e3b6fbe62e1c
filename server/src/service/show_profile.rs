//! Whose an access token is, for who only wants to know that: `/me` and `/verify`.

use chrono::{DateTime, Utc};

use super::authenticate::{refuse_revoked, verify};
use super::{Service, ServiceError};
use crate::store::Profile;

/// The account behind an access token. Revocation is checked last: the account was then read before any logout that
/// the check does not see, however long the reading took.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`], also when the account is gone or deactivated; [`ServiceError::Unavailable`]
/// when either cannot be known, never a yes.
pub async fn show_profile(
    service: &Service,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Profile, ServiceError> {
    let token = verify(service, token, now)?;
    let profile = find_active_profile(service, token.user_id).await?;
    refuse_revoked(service, token).await?;
    Ok(profile)
}

/// The account with this id, if it may log in.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`] when the account is gone or deactivated, [`ServiceError::Unavailable`]
pub(super) async fn find_active_profile(service: &Service, user_id: i64) -> Result<Profile, ServiceError> {
    let profile = service.store.find_profile(user_id).await?;
    profile.filter(|profile| profile.is_active).ok_or(ServiceError::InvalidAccessToken)
}
