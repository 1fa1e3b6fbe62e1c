//! Making an account for oneself.

use crate::domain::{Locale, Origin, Password, PasswordHash};
use crate::service::{FieldError, LimitedAction, Service, ServiceError, UserForm};
use crate::store::Registration;

/// What was asked for, not yet checked.
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
    /// The languages that the caller's software asks for, the dearest first.
    pub accepted: Vec<Locale>,
}

/// Whether people may make accounts for themselves here.
///
/// # Errors
/// [`ServiceError::RegistrationDisabled`], [`ServiceError::MailDisabled`]
pub fn check_registration_enabled(service: &Service) -> Result<(), ServiceError> {
    if !service.registration.enabled {
        Err(ServiceError::RegistrationDisabled)
    } else if service.mail_enabled {
        Ok(())
    } else {
        Err(ServiceError::MailDisabled)
    }
}

/// Makes an account whose address is yet to be verified, or tells the owner of the address by mail why not. The
/// caller learns neither, not by the answer and not by its time: the password is hashed in any case (OWASP ASVS 5.0
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
    // Kept: each sends a letter.
    let _attempt =
        service.limit(LimitedAction::Registration, registration.email.as_str(), None, origin).await?;
    let password_hash = service.hashing.hash(password).await?;
    let outcome = service.store.register(&Registration { password_hash, ..registration }, origin).await?;
    service.emit(&outcome.event(origin));
    service.outbox_wake.notify_one();
    Ok(())
}

/// All faults at once; the hash is still to come.
fn check(service: &Service, form: RegistrationForm) -> Result<(Registration, Password), ServiceError> {
    let RegistrationForm { username, email, name, password, locale, accepted } = form;
    let names = UserForm { username, email, name, password: password.clone(), is_superuser: false };
    let (names, mut faults) = match names.check_names(&service.password_policy) {
        Ok(names) => (Some(names), Vec::new()),
        Err(ServiceError::Invalid(faults)) => (None, faults),
        Err(other) => return Err(other),
    };
    let mut fault = |field, message: &str| faults.push(FieldError { field, message: message.to_owned() });
    if let Some((_, email, _)) = &names
        && !email.is_within(&service.registration.email_domains)
    {
        fault("email", "is not of a domain that may register here");
    }
    let chosen = locale.as_deref().map(Locale::parse);
    if chosen == Some(None) {
        fault("locale", LOCALE_FAULT);
    }
    let locale = chosen.flatten().or_else(|| accepted.into_iter().next());
    match names {
        Some((username, email, name)) if faults.is_empty() => Ok((
            Registration { username, email, name, password_hash: PasswordHash::new(""), locale },
            password,
        )),
        _ => Err(ServiceError::Invalid(faults)),
    }
}

/// What is wrong with a language that is none.
pub(in crate::service) const LOCALE_FAULT: &str = "is not a language tag such as en or pt-BR";
