//! Checks of an account's fields. Each adds a fault for a value that is not valid.

use super::{FieldError, ServiceError};
use crate::domain::{EmailAddress, Locale, PersonName, Username};

/// Parses the names; adds a fault for each invalid one.
pub(super) fn check_account_names(
    (username, email, name): (&str, &str, &str),
    faults: &mut Vec<FieldError>,
) -> (Option<Username>, Option<EmailAddress>, Option<PersonName>) {
    let username = Username::parse(username);
    if username.is_none() {
        faults.push(FieldError::new(
            "username",
            "must have 1 to 64 ASCII letters, digits, dots, underscores or hyphens",
        ));
    }
    (username, check_email(email, faults), check_name(name, faults))
}

pub(super) fn check_email(email: &str, faults: &mut Vec<FieldError>) -> Option<EmailAddress> {
    EmailAddress::canonicalize(email)
        .map_err(|refusal| faults.push(FieldError::new("email", &refusal.to_string())))
        .ok()
}

pub(super) fn check_name(name: &str, faults: &mut Vec<FieldError>) -> Option<PersonName> {
    let name = PersonName::parse(name);
    if name.is_none() {
        faults.push(FieldError::new("name", "must have 1 to 200 characters and no control characters"));
    }
    name
}

pub(super) fn check_locale(locale: Option<&str>, faults: &mut Vec<FieldError>) -> Option<Locale> {
    let parsed = locale.map(Locale::parse);
    if parsed == Some(None) {
        faults.push(FieldError::new("locale", "is not a language tag such as en or pt-BR"));
    }
    parsed.flatten()
}

/// The address of a request that has no other fields to check.
///
/// # Errors
/// [`ServiceError::Invalid`] for the field `email`
pub(super) fn parse_email(email: &str) -> Result<EmailAddress, ServiceError> {
    let mut faults = Vec::new();
    check_email(email, &mut faults).ok_or(ServiceError::Invalid(faults))
}
