//! Creating the first superuser at start.

use latchkey_config::{PasswordPolicy, variables};

use crate::domain::{EmailAddress, PersonName, Username};
use crate::service::{FieldError, Service, ServiceError, UserForm};
use crate::store::{NewSuperuser, StoreError};

/// Why the account was not created.
#[derive(Debug, thiserror::Error)]
pub enum FirstSuperuserError {
    /// The settings are invalid; a retry cannot help.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// The database or the hash pool is unavailable; retry.
    #[error("{0}")]
    TryAgain(String),
}

/// Checks the settings alone, so that a start with invalid ones fails immediately.
///
/// # Errors
/// [`FirstSuperuserError::Refused`] with a sentence for each variable; never with the password.
pub fn check_first_superuser(
    form: &UserForm,
    policy: &PasswordPolicy,
) -> Result<(Username, EmailAddress, PersonName), FirstSuperuserError> {
    form.check_names(policy).map_err(|error| match error {
        ServiceError::Invalid(faults) => {
            let sentence = |fault: &FieldError| format!("{} {}", variable(fault.field), fault.message);
            FirstSuperuserError::Refused(faults.iter().map(sentence).collect())
        }
        other => FirstSuperuserError::TryAgain(other.to_string()),
    })
}

fn variable(field: &str) -> &'static str {
    match field {
        "email" => variables::FIRST_SUPERUSER_EMAIL,
        "password" => variables::FIRST_SUPERUSER_PASSWORD,
        _ => variables::FIRST_SUPERUSER,
    }
}

/// Creates the account unless a superuser exists. Returns whether it was created.
///
/// # Errors
/// [`FirstSuperuserError`]
pub async fn create_first_superuser(service: &Service, form: &UserForm) -> Result<bool, FirstSuperuserError> {
    let try_again = |error: &dyn std::fmt::Display| FirstSuperuserError::TryAgain(error.to_string());
    // Checked first, so that an ordinary start computes no hash.
    if service.store.superuser_exists().await.map_err(|error| try_again(&error))? {
        return Ok(false);
    }
    let (username, email, name) = check_first_superuser(form, &service.rules.passwords)?;
    let password_hash =
        service.hashing.hash(form.password.clone()).await.map_err(|error| try_again(&error))?;
    let user = NewSuperuser { username, email, name, password_hash };
    service.store.create_first_superuser(&user).await.map_err(|error| match error {
        StoreError::Conflict(_) => FirstSuperuserError::Refused(vec![
            "FIRST_SUPERUSER names an ordinary account's name or address; choose others".to_owned(),
        ]),
        other => try_again(&other),
    })
}
