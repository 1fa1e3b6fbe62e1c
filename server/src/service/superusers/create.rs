//! Creating a superuser on the command line, for a team that is locked out.

use latchkey_config::PasswordPolicy;

use crate::crypto::HashPool;
use crate::service::{ServiceError, UserForm};
use crate::store::{NewSuperuser, Store};

/// Creates the account and returns its id.
///
/// # Errors
/// [`ServiceError::Invalid`], [`ServiceError::Conflict`], [`ServiceError::Unavailable`]
pub async fn create_superuser(
    store: &Store,
    form: UserForm,
    policy: &PasswordPolicy,
) -> Result<i64, ServiceError> {
    let (username, email, name) = form.check_names(policy)?;
    let password_hash = HashPool::new(1)?.hash(form.password).await?;
    let user = NewSuperuser { username, email, name, password_hash };
    Ok(store.create_superuser(&user).await?)
}
