//! Administration is for superusers.

use serde_json::json;

use super::{Authenticated, Service, ServiceError, show_profile};
use crate::domain::{AuditEvent, AuditKind, Origin, Outcome};
use crate::store::Actor;

/// Proof that the bearer is a superuser now; only [`require_superuser`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Superuser(Authenticated);

impl Superuser {
    /// The account.
    pub fn user_id(self) -> i64 {
        self.0.user_id
    }

    /// Who acts, for the audit.
    pub(super) fn actor(self, origin: &Origin) -> Actor<'_> {
        Actor { id: self.user_id(), origin }
    }
}

/// Asks the database, not the token: a demotion counts at once.
///
/// # Errors
/// [`ServiceError::NotSuperuser`], and those of [`show_profile`].
pub async fn require_superuser(service: &Service, bearer: Authenticated) -> Result<Superuser, ServiceError> {
    if show_profile(service, bearer).await?.is_superuser {
        return Ok(Superuser(bearer));
    }
    // A row would be one for each try; the line and the count are enough to notice by (OWASP ASVS 5.0 §16.3.2).
    service.tell(&AuditEvent {
        kind: AuditKind::AccessDenied,
        outcome: Outcome::Refused,
        actor_id: Some(bearer.user_id),
        user_id: None,
        session_id: Some(bearer.session_id),
        origin: None,
        detail: json!({}),
    });
    Err(ServiceError::NotSuperuser)
}
