//! Registering an account.

use crate::domain::{Locale, Origin, Password, PasswordHash};
use crate::service::fields::check_locale;
use crate::service::{FieldError, LimitedAction, Service, ServiceError, UserForm};
use crate::store::Registration;

/// A requested registration, not yet checked.
#[derive(Debug, Clone)]
pub struct RegistrationForm {
    /// See [`crate::domain::Username`].
    pub username: String,
    /// See [`crate::domain::EmailAddress`].
    pub email: String,
    /// See [`crate::domain::PersonName`].
    pub name: String,
    /// See [`Password::check_new`].
    pub password: Password,
    /// See [`Locale`].
    pub locale: Option<String>,
    /// The languages of `Accept-Language`, in order of preference.
    pub accepted: Vec<Locale>,
}

/// Checks that self-registration is enabled.
///
/// # Errors
/// [`ServiceError::RegistrationDisabled`], [`ServiceError::MailDisabled`]
pub fn check_registration_enabled(service: &Service) -> Result<(), ServiceError> {
    if !service.rules.registration.enabled {
        Err(ServiceError::RegistrationDisabled)
    } else if service.outbox.enabled {
        Ok(())
    } else {
        Err(ServiceError::MailDisabled)
    }
}

/// Creates an account with an unverified address, or sends the owner of the address an e-mail that explains why not. The
/// caller learns neither from the response nor from its time: the password is hashed in any case (OWASP ASVS 5.0
/// §6.3.8).
///
/// # Errors
/// Those of [`check_registration_enabled`], [`ServiceError::Invalid`], [`ServiceError::RateLimited`],
/// [`ServiceError::Overloaded`], [`ServiceError::Unavailable`]
pub async fn register(
    service: &Service,
    form: RegistrationForm,
    origin: &Origin,
) -> Result<(), ServiceError> {
    check_registration_enabled(service)?;
    let (registration, password) = check(service, form)?;
    // The attempt stays counted: each one sends an e-mail.
    let _attempt =
        service.limit(LimitedAction::Registration, registration.email.as_str(), None, origin).await?;
    let password_hash = service.hashing.hash(password).await?;
    let outcome = service.store.register(&Registration { password_hash, ..registration }, origin).await?;
    service.emit(&outcome.event(origin));
    service.outbox.wake();
    Ok(())
}

/// Checks everything but the hash and reports all faults together.
fn check(service: &Service, form: RegistrationForm) -> Result<(Registration, Password), ServiceError> {
    let RegistrationForm { username, email, name, password, locale, accepted } = form;
    let names = UserForm { username, email, name, password: password.clone() };
    let (names, mut faults) = match names.check_names(&service.rules.passwords) {
        Ok(names) => (Some(names), Vec::new()),
        Err(ServiceError::Invalid(faults)) => (None, faults),
        Err(other) => return Err(other),
    };
    if let Some((_, email, _)) = &names
        && !email.is_within(&service.rules.registration.email_domains)
    {
        faults.push(FieldError::new("email", "is not of a domain that may register here"));
    }
    let chosen = check_locale(locale.as_deref(), &mut faults);
    let locale = chosen.or_else(|| accepted.into_iter().next());
    match names {
        Some((username, email, name)) if faults.is_empty() => Ok((
            Registration { username, email, name, password_hash: PasswordHash::new(""), locale },
            password,
        )),
        _ => Err(ServiceError::Invalid(faults)),
    }
}
