//! Revoking a token for a program (RFC 7009).

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::introspect::verify_either_kind;
use super::logout::announce_end;
use crate::crypto::{SessionToken, TokenKind, VerifiedToken};
use crate::domain::clock::KEPT_AFTER_EXPIRY;
use crate::domain::{AuditEvent, AuditKind, ClientId, Origin, Outcome};
use crate::service::{Service, ServiceError, Superuser, TokenClient};

/// Revokes a token: when this returns, every replica refuses it. With a person's token of either kind its session ends;
/// an expired or rotated one still identifies its session. A client's token ends alone, also one that it got for a
/// person's. A token that this service did not issue needs no revocation (RFC 7009 §2.2).
///
/// # Errors
/// [`ServiceError::UnauthorizedClient`] for a token that was issued to another client;
/// [`ServiceError::Unavailable`] when the end could not be announced to the other replicas; the caller may retry.
pub async fn revoke_token(
    service: &Service,
    asked_by: TokenClient,
    token: &str,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let found = verify_either_kind(service, token)?;
    let is_of_another = found.as_ref().is_some_and(|(_, token)| !asked_by.owns(token));
    // A superuser's right is asserted in the transaction of the change.
    if found.is_none() || asked_by.superuser().is_none() {
        asked_by.assert(service).await?;
    }
    if is_of_another {
        return Err(ServiceError::UnauthorizedClient("The token was not issued to this client."));
    }
    match found {
        None => Ok(()),
        Some((kind, VerifiedToken::Session(token))) => {
            end_session_of_token(service, &asked_by, kind, &token, origin).await
        }
        Some((_, VerifiedToken::Client(token))) => {
            let token = (token.jti, token.expires_at, &token.client);
            revoke_client_token(service, &asked_by, token, origin, now).await
        }
        Some((_, VerifiedToken::Exchanged(token))) => {
            let token = (token.jti, token.expires_at, token.actors.current());
            revoke_client_token(service, &asked_by, token, origin, now).await
        }
    }
}

async fn end_session_of_token(
    service: &Service,
    asked_by: &TokenClient,
    kind: TokenKind,
    token: &SessionToken,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let mut detail = json!({ "token": kind.as_str(), "jti": token.jti });
    if let Some(client_id) = asked_by.registered_id() {
        detail["client_id"] = client_id.into();
    }
    let event = AuditEvent {
        actor_id: asked_by.actor_id(),
        ..AuditEvent::own(AuditKind::TokenRevoked, token.user_id, origin)
    }
    .in_session(token.session_id)
    .with(detail);
    let ended = match asked_by.superuser() {
        Some(superuser) => service
            .store
            .end_session_of((token.session_id, token.user_id), &superuser.administrator(), &event)
            .await
            .map_err(|error| superuser.explain(service, error))?,
        None => service.store.end_session(token.session_id, token.user_id, &event).await?.into_revoked(),
    };
    announce_end(service, (token.session_id, token.user_id), ended, &event).await
}

async fn revoke_client_token(
    service: &Service,
    asked_by: &TokenClient,
    (jti, expires_at, client): (Uuid, i64, &ClientId),
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let superuser = asked_by.superuser();
    let explain = |error| match superuser {
        Some(superuser) => superuser.explain(service, error),
        None => ServiceError::from(error),
    };
    let expires_at = DateTime::from_timestamp(expires_at, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    if expires_at <= now - KEPT_AFTER_EXPIRY {
        // No replica accepts it, and housekeeping would delete the revocation.
        return asked_by.assert(service).await;
    }
    let event = AuditEvent {
        kind: AuditKind::TokenRevoked,
        outcome: Outcome::Success,
        actor_id: asked_by.actor_id(),
        user_id: None,
        session_id: None,
        origin: Some(origin),
        detail: json!({
            "token": TokenKind::Access.as_str(),
            "jti": jti,
            "client_id": client.as_str(),
        }),
    };
    let administrator = superuser.map(Superuser::administrator);
    let store = &service.store;
    let revoked = store.revoke_client_token((jti, expires_at), administrator.as_ref(), &event).await;
    let revoked = match revoked.map_err(explain)? {
        Some(revoked) => {
            service.emit(&event);
            Some(revoked)
        }
        // An earlier request may have been interrupted before it announced the revocation.
        None => store.recent_client_token_end(jti).await?,
    };
    Ok(service.revocation.announce(revoked.as_slice()).await?)
}
