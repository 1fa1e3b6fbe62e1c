//! The account made at start when no superuser exists.

use super::{Service, ServiceError, UserForm};
use crate::store::{NewUser, StoreError};

/// Why it was not made.
#[derive(Debug, thiserror::Error)]
pub enum FirstSuperuserError {
    /// The settings are at fault; trying again cannot help.
    #[error("FIRST_SUPERUSER is not valid: {0}")]
    Refused(String),
    /// The database or the hash pool is; try again.
    #[error("{0}")]
    TryAgain(String),
}

/// Makes the account unless a superuser exists. Returns whether it was made.
///
/// # Errors
/// [`FirstSuperuserError`]
pub async fn create_first_superuser(service: &Service, form: &UserForm) -> Result<bool, FirstSuperuserError> {
    let try_again = |error: &dyn std::fmt::Display| FirstSuperuserError::TryAgain(error.to_string());
    // Asked first, so that an ordinary start costs no hash.
    if service.store.superuser_exists().await.map_err(|error| try_again(&error))? {
        return Ok(false);
    }
    let (username, email, name) = form.check_names().map_err(|error| match error {
        ServiceError::Invalid(faults) => FirstSuperuserError::Refused(
            faults
                .iter()
                .map(|fault| format!("{} {}", fault.field, fault.message))
                .collect::<Vec<_>>()
                .join("; "),
        ),
        other => try_again(&other),
    })?;
    let password_hash =
        service.hashing.hash(form.password.clone()).await.map_err(|error| try_again(&error))?;
    let user = NewUser { username, email, name, password_hash, is_superuser: true };
    service.store.create_first_superuser(&user).await.map_err(|error| match error {
        StoreError::Conflict(_) => FirstSuperuserError::Refused(
            "an ordinary account has its name or its address; choose others".to_owned(),
        ),
        other => try_again(&other),
    })
}
