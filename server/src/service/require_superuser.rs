//! Administration is for superusers.

use serde_json::json;

use super::auth::me::find_active_profile;
use super::{Authenticated, Service, ServiceError};
use crate::domain::{AuditEvent, AuditKind, Outcome};
use crate::store::{Administrator, StoreError};

/// Proof that the bearer was a superuser when it was asked for; only [`require_superuser`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Superuser(Authenticated);

impl Superuser {
    /// The account.
    pub fn user_id(self) -> i64 {
        self.0.user_id
    }

    /// On whose behalf the store acts; it asserts again, in the transaction that does it, that the session goes on
    /// and that the account still is a superuser's.
    pub(super) fn administrator(self) -> Administrator {
        Administrator(self.0.actor())
    }

    /// What the caller is told of an error of the store, after a refusal is told to those who watch.
    pub(super) fn explain(self, service: &Service, error: StoreError) -> ServiceError {
        if matches!(error, StoreError::NotSuperuser) {
            tell_refusal(service, self.0);
        }
        error.into()
    }
}

/// Asks the database, not the token: a demotion counts at once.
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

fn tell_refusal(service: &Service, bearer: Authenticated) {
    // A row would be one for each try; the line and the count are enough to notice by (OWASP ASVS 5.0 §16.3.2).
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
