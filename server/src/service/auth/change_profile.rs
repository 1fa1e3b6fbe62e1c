//! Changing the current user's profile.

use super::me::find_active_profile;
use crate::domain::Origin;
use crate::service::fields::{check_locale, check_name};
use crate::service::{Authenticated, Service, ServiceError};
use crate::store::{Profile, ProfileChange};

/// A requested change, not yet checked; `None` leaves a field unchanged.
#[derive(Debug, Clone, Default)]
pub struct ProfileForm {
    /// See [`PersonName`](crate::domain::PersonName).
    pub name: Option<String>,
    /// See [`Locale`](crate::domain::Locale); `Some(None)` restores the default of the service.
    #[expect(clippy::option_option, reason = "unchanged, the default and a chosen one are three things")]
    pub locale: Option<Option<String>>,
}

/// Changes the profile and returns the new one.
///
/// # Errors
/// [`ServiceError::Invalid`], [`ServiceError::InvalidAccessToken`] when the account is gone or deactivated,
/// [`ServiceError::Unavailable`]
pub async fn change_profile(
    service: &Service,
    bearer: Authenticated,
    form: ProfileForm,
    origin: &Origin,
) -> Result<Profile, ServiceError> {
    let change = form.check()?;
    if change == ProfileChange::default() {
        let profile = find_active_profile(service, bearer.user_id).await?;
        // Checked last, so that the profile was read before any logout that this check misses.
        service.store.assert_goes_on(bearer.actor()).await?;
        return Ok(profile);
    }
    let profile = service.store.change_profile(bearer.actor(), &change, origin).await?;
    service.emit(&change.event(bearer.user_id, origin));
    Ok(profile)
}

impl ProfileForm {
    fn check(self) -> Result<ProfileChange, ServiceError> {
        let mut faults = Vec::new();
        let change = ProfileChange {
            name: self.name.and_then(|name| check_name(&name, &mut faults)),
            locale: self.locale.map(|chosen| check_locale(chosen.as_deref(), &mut faults)),
        };
        if faults.is_empty() { Ok(change) } else { Err(ServiceError::Invalid(faults)) }
    }
}
