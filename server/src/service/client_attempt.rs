//! An attempt of a client to authenticate: an assertion that it presents, and what becomes of a refused attempt.

use serde_json::Value;

use super::{LimitedAction, Service, ServiceError};
use crate::domain::{AuditEvent, AuditKind, Origin, Outcome};

/// An assertion as a request presents it.
#[derive(Clone, Copy)]
pub struct Assertion<'a> {
    /// `client_id` of the form; empty if it has none.
    pub client_id: &'a str,
    /// `client_assertion`
    pub token: &'a str,
}

/// Why an assertion is refused, for the audit log. The response does not reveal it.
pub(super) struct Refusal {
    /// The name of the claim, or of the check.
    pub(super) reason: &'static str,
    /// The id of the client, if it is registered.
    pub(super) client_id: Option<String>,
}

impl Refusal {
    pub(super) fn new(reason: &'static str) -> Self {
        Self { reason, client_id: None }
    }
}

/// Counts and records a failed attempt. Returns the error of the request.
///
/// # Errors
/// [`ServiceError::RateLimited`], [`ServiceError::Unavailable`]
pub(super) async fn refuse_guess(
    service: &Service,
    detail: Value,
    origin: &Origin,
) -> Result<ServiceError, ServiceError> {
    // The attempt stays counted: it was a guess.
    let _attempt = service.limit(LimitedAction::Client, "", None, origin).await?;
    let event = AuditEvent {
        kind: AuditKind::ClientRefused,
        outcome: Outcome::Refused,
        actor_id: None,
        user_id: None,
        session_id: None,
        origin: Some(origin),
        detail,
    };
    service.record(&event).await?;
    Ok(ServiceError::InvalidClient)
}
