//! Administration is for superusers.

use super::{Authenticated, Service, ServiceError, show_profile};

/// Proof that the bearer is a superuser now; only [`require_superuser`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Superuser(Authenticated);

impl Superuser {
    /// The account.
    pub fn user_id(self) -> i64 {
        self.0.user_id
    }
}

/// Asks the database, not the token: a demotion counts at once.
///
/// # Errors
/// [`ServiceError::NotSuperuser`], and those of [`show_profile`].
pub async fn require_superuser(service: &Service, bearer: Authenticated) -> Result<Superuser, ServiceError> {
    if show_profile(service, bearer).await?.is_superuser {
        Ok(Superuser(bearer))
    } else {
        Err(ServiceError::NotSuperuser)
    }
}
