//! Changing what the own profile says.

use super::me::find_active_profile;
use super::register::LOCALE_FAULT;
use crate::domain::{Locale, Origin, PersonName};
use crate::service::{Authenticated, FieldError, Service, ServiceError};
use crate::store::{Profile, ProfileChange};

/// What is to be changed, not yet checked; `None`: stays.
#[derive(Debug, Clone, Default)]
pub struct ProfileForm {
    /// See [`PersonName`].
    pub name: Option<String>,
    /// See [`Locale`], or back to the default of the service.
    pub locale: Option<Option<String>>,
}

/// Changes the profile and gives it as it is then.
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
        // Last: the profile was so before any logout that this does not see.
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
