//! Changing the current user's profile.

use super::me::find_active_profile;
use super::register::LOCALE_FAULT;
use crate::domain::{Locale, Origin, PersonName};
use crate::service::{Authenticated, FieldError, Service, ServiceError};
use crate::store::{Profile, ProfileChange};

/// A requested change, not yet checked; `None` leaves a field unchanged.
#[derive(Debug, Clone, Default)]
pub struct ProfileForm {
    /// See [`PersonName`].
    pub name: Option<String>,
    /// See [`Locale`]; `Some(None)` restores the default of the service.
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
        let name = self.name.as_deref().map(PersonName::parse);
        if name == Some(None) {
            faults.push(FieldError {
                field: "name",
                message: "must have 1 to 200 characters and no control characters".to_owned(),
            });
        }
        let locale = self.locale.map(|chosen| chosen.map(|tag| Locale::parse(&tag)));
        if locale == Some(Some(None)) {
            faults.push(FieldError { field: "locale", message: LOCALE_FAULT.to_owned() });
        }
        if faults.is_empty() {
            Ok(ProfileChange { name: name.flatten(), locale: locale.map(Option::flatten) })
        } else {
            Err(ServiceError::Invalid(faults))
        }
    }
}
