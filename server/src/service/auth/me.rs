//! Getting the account of an access token, for `/me` and `/verify`.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::service::authenticate::{refuse_revoked, verify};
use crate::service::{Service, ServiceError};
use crate::store::Profile;

/// A revocation check that is older than this once the account has been read is repeated.
const CHECK_STANDS_FOR: Duration = Duration::from_millis(250);

/// The account of an access token. If reading it had to wait for a connection, revocation is checked again, so that no
/// response is sent long after a logout. Ordinarily one check suffices; applications call this with every request of their
/// own.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`], also when the account is gone or deactivated; [`ServiceError::Unavailable`]
/// when either check is impossible: the token is then never accepted.
pub async fn show_profile(
    service: &Service,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Profile, ServiceError> {
    let token = verify(service, token, now)?;
    let asked_at = Instant::now();
    refuse_revoked(service, &token).await?;
    let profile = find_active_profile(service, token.user_id).await?;
    if asked_at.elapsed() > CHECK_STANDS_FOR {
        refuse_revoked(service, &token).await?;
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
