//! Revoking a token for a program (RFC 7009).

use serde_json::json;

use super::introspect::verify_either_kind;
use super::logout::announce_end;
use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::{Service, ServiceError, TokenClient};

/// Ends the session of a token of either kind: when this returns, every replica refuses all tokens of the session. An
/// expired or rotated token still identifies its session, which ends too. A token that this service did not issue needs
/// no revocation (RFC 7009 §2.2).
///
/// # Errors
/// [`ServiceError::Unavailable`] when the end could not be announced to the other replicas; the caller may retry.
pub async fn revoke_token(
    service: &Service,
    asked_by: TokenClient,
    token: &str,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let Some((kind, token)) = verify_either_kind(service, token)? else {
        return asked_by.assert(service).await;
    };
    let event = AuditEvent {
        actor_id: asked_by.actor_id(),
        ..AuditEvent::own(AuditKind::TokenRevoked, token.user_id, origin)
    }
    .in_session(token.session_id)
    .with(json!({ "token": kind.as_str(), "jti": token.jti }));
    let ended = match asked_by.superuser() {
        Some(superuser) => service
            .store
            .end_session_of((token.session_id, token.user_id), superuser.administrator(), &event)
            .await
            .map_err(|error| superuser.explain(service, error))?,
        None => service.store.end_session(token.session_id, token.user_id, &event).await?.into_revoked(),
    };
    announce_end(service, (token.session_id, token.user_id), ended, &event).await
}
