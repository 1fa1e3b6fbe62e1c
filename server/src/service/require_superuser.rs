//! Requiring a superuser for what no permission allows.

use serde_json::json;

use super::auth::me::find_active_profile;
use super::{Authenticated, Service, ServiceError};
use crate::domain::{AuditEvent, AuditKind, Outcome};
use crate::store::{Administrator, Agent, Right, StoreError};

/// Proof that the bearer was a superuser at the time of the check; only [`require_superuser`] creates it.
#[derive(Debug, Clone, Copy)]
pub struct Superuser(Authenticated);

impl Superuser {
    pub fn user_id(self) -> i64 {
        self.0.user_id
    }

    /// The actor for the store, which asserts in the transaction of the change that the session is still active and the
    /// account is still a superuser's.
    pub(super) fn administrator(self) -> Administrator {
        Administrator { agent: Agent::Account(self.0.actor()), right: Right::Superuser }
    }

    /// Maps an error of the store to the response; emits an event for a refusal.
    pub(super) fn explain(self, service: &Service, error: StoreError) -> ServiceError {
        if is_refusal(&error) {
            tell_refusal(service, self.0);
        }
        error.into()
    }
}

/// Checks the database, not the token, so that a demotion takes effect immediately.
///
/// # Errors
/// [`ServiceError::NotSuperuser`], [`ServiceError::InvalidAccessToken`] when the account is gone or deactivated,
/// [`ServiceError::Unavailable`]
pub async fn require_superuser(service: &Service, bearer: Authenticated) -> Result<Superuser, ServiceError> {
    if find_active_profile(service, bearer.user_id).await?.is_superuser {
        return Ok(Superuser(bearer));
    }
    tell_refusal(service, bearer);
    Err(ServiceError::NotSuperuser)
}

/// Whether an error of the store is that the actor may not do something.
pub(super) fn is_refusal(error: &StoreError) -> bool {
    matches!(error, StoreError::NotSuperuser | StoreError::NotPermitted(_) | StoreError::HoldsMore)
}

/// Emits the event of a refusal.
pub(super) fn tell_refusal(service: &Service, bearer: Authenticated) {
    // No row: each attempt would add one. The log line and the metric are enough to notice (OWASP ASVS 5.0 §16.3.2).
    service.emit(&AuditEvent {
        kind: AuditKind::AccessDenied,
        outcome: Outcome::Refused,
        actor_id: Some(bearer.user_id),
        user_id: None,
        session_id: Some(bearer.session_id),
        origin: None,
        detail: json!({}),
    });
}
