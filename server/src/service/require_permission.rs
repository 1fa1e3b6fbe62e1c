//! Requiring a permission for administration. Superusers have all of them, other accounts those of their groups.

use super::auth::me::find_active_profile;
use super::require_superuser::{explain_refusal, tell_refusal};
use super::{Authenticated, Service, ServiceError};
use crate::domain::{Permission, Permissions, Power};
use crate::store::{Administrator, Right, StoreError};

/// Proof that the bearer had a permission at the time of the check; only [`require_permission`] creates it.
#[derive(Debug, Clone, Copy)]
pub struct Permitted {
    bearer: Authenticated,
    permission: Permission,
}

impl Permitted {
    pub fn user_id(self) -> i64 {
        self.bearer.user_id
    }

    /// The actor for the store, which asserts in the transaction of the change that the session is still active and the
    /// account still has the permission.
    pub(super) fn administrator(self) -> Administrator {
        Administrator { actor: self.bearer.actor(), right: Right::Permission(self.permission) }
    }

    /// Maps an error of the store to the response; emits an event for a refusal.
    pub(super) fn explain(self, service: &Service, error: StoreError) -> ServiceError {
        explain_refusal(service, self.bearer, error)
    }
}

/// Checks the database, not the token, so that a permission that is withdrawn is missing from the next request on.
///
/// # Errors
/// [`ServiceError::NotPermitted`], [`ServiceError::InvalidAccessToken`] when the account is gone or deactivated,
/// [`ServiceError::Unavailable`]
pub async fn require_permission(
    service: &Service,
    bearer: Authenticated,
    permission: Permission,
) -> Result<Permitted, ServiceError> {
    let is_superuser = find_active_profile(service, bearer.user_id).await?.is_superuser;
    let permissions = if is_superuser {
        Permissions::default()
    } else {
        service.store.find_permissions(bearer.user_id).await?
    };
    if (Power { is_superuser, permissions }).includes(permission) {
        return Ok(Permitted { bearer, permission });
    }
    tell_refusal(service, bearer);
    Err(ServiceError::NotPermitted(permission))
}
