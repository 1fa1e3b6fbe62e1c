//! Whose an access token is, for who only wants to know that: `/me` and `/verify`.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::service::authenticate::{refuse_revoked, verify};
use crate::service::{Service, ServiceError};
use crate::store::Profile;

/// A check that is older than this when the account has been read is made again.
const CHECK_STANDS_FOR: Duration = Duration::from_millis(250);

/// The account behind an access token. Reading it may have to wait for a connection: revocation is then checked once
/// more, so that no answer is given long after a logout. Ordinarily one check is enough, and this is asked with every
/// request of every application.
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
    let asked_at = Instant::now();
    refuse_revoked(service, token).await?;
    let profile = find_active_profile(service, token.user_id).await?;
    if asked_at.elapsed() > CHECK_STANDS_FOR {
        refuse_revoked(service, token).await?;
    }
    Ok(profile)
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
