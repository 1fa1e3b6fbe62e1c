//! Exchanging a refresh token for a new pair of tokens.

use chrono::{DateTime, Utc};
use latchkey_clients::GrantType;
use serde_json::json;
use uuid::Uuid;

use crate::crypto::{PersonClaims, SessionToken, TokenKind};
use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::admit_client::admit_without_authentication;
use crate::service::announce_again::announce_recent_end;
use crate::service::authenticate::map_token_error;
use crate::service::person_grant::PersonDecision;
use crate::service::tokens::TokenSubject;
use crate::service::{AdmittedClient, Service, ServiceError, TokenPair};
use crate::store::{RefreshOutcome, RefreshRequest};

/// Rotates a refresh token (RFC 9700 §4.14.2). `bearer` is the access token of the same session, which may have expired;
/// without one (RFC 6749 §6) the refresh token alone decides. A `client` that is named must be the one that the token was
/// issued to, if it was issued to one. A registered client that has a secret must have shown it; its access token has the
/// requested scopes, separated by spaces, as far as the session has them, and names the person's groups of now.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`], [`ServiceError::InvalidRefreshToken`], also for a person who may not use the client;
/// [`ServiceError::InvalidScope`], [`ServiceError::Unavailable`]
pub async fn refresh(
    service: &Service,
    refresh_token: &str,
    bearer: Option<&str>,
    (client, scope): (AdmittedClient, &str),
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<TokenPair, ServiceError> {
    let bearer = match bearer {
        Some(token) => Some(verify_bearer(service, token)?),
        None => None,
    };
    let presented = service
        .tokens
        .verifier
        .verify_session(TokenKind::Refresh, refresh_token, now)
        .map_err(|error| map_token_error(error, ServiceError::InvalidRefreshToken))?;
    let user_id = presented.user_id;
    if bearer.is_some_and(|bearer| (bearer.session_id, bearer.user_id) != (presented.session_id, user_id)) {
        return Err(ServiceError::InvalidRefreshToken);
    }
    let client = match (presented.client.as_ref(), client.id()) {
        (Some(issued_to), Some(named)) if issued_to != named => {
            return Err(ServiceError::InvalidRefreshToken);
        }
        (Some(issued_to), None) => {
            let admitted = admit_without_authentication(service, issued_to, GrantType::RefreshToken)?;
            admitted.ok_or(ServiceError::InvalidRefreshToken)?
        }
        _ => client,
    };
    let claims = decide_claims(service, &client, scope, &presented, origin).await?;
    let (access_expires_at, refresh_expires_at) = service.tokens.expiries(client.registered(), now);
    let request = RefreshRequest {
        session_id: presented.session_id,
        user_id,
        jti: presented.jti,
        next_jti: Uuid::now_v7(),
        access_expires_at,
        refresh_expires_at,
        origin,
    };
    // The database may have lost the end in a failover. Redis is asked at the same time: an exchange that went before is of no
    // use to the client, which gets no tokens, and the session has ended when it is refused.
    let (is_lost, outcome) = tokio::join!(
        service.revocation.end_if_lost(presented.session_id),
        service.store.exchange_refresh_token(&request)
    );
    let is_lost = is_lost?;
    match outcome? {
        RefreshOutcome::Granted { .. } if is_lost => Err(ServiceError::InvalidRefreshToken),
        RefreshOutcome::Granted { username, jti, refresh_expires_at } => {
            let subject = TokenSubject {
                user_id,
                session_id: request.session_id,
                refresh_jti: jti,
                client: client.id().cloned(),
                claims,
                access_expires_at: request.access_expires_at,
                refresh_expires_at,
            };
            service.tokens.sign_pair(username, &subject, now)
        }
        RefreshOutcome::Over => {
            // An earlier attempt may have ended the session because of reuse and failed to announce it.
            announce_recent_end(service, request.session_id, user_id).await?;
            Err(ServiceError::InvalidRefreshToken)
        }
        RefreshOutcome::Theft { revoked, event } => {
            service.emit(&event);
            service.revocation.announce(revoked.as_slice()).await?;
            Err(ServiceError::InvalidRefreshToken)
        }
    }
}

/// What the access token says for a registered client. It is decided before the exchange, so that a refused request leaves the
/// refresh token as it is. A removal from a group that was answered before counts.
async fn decide_claims(
    service: &Service,
    client: &AdmittedClient,
    scope: &str,
    presented: &SessionToken,
    origin: &Origin,
) -> Result<PersonClaims, ServiceError> {
    let Some(client) = client.registered() else { return Ok(PersonClaims::default()) };
    let session = (presented.user_id, presented.session_id);
    match service.decide_refresh(client, scope, session).await? {
        PersonDecision::Granted(claims) => Ok(claims),
        // The exchange finds out too, and answers.
        PersonDecision::Over => Ok(PersonClaims::default()),
        PersonDecision::NotAllowed => {
            // No row, as for other refusals of one who is logged in: each attempt would add one.
            let event = AuditEvent::own(AuditKind::AccessDenied, presented.user_id, origin);
            let detail = json!({ "reason": "not_allowed", "client_id": client.client_id });
            service.emit(&event.in_session(presented.session_id).with(detail).refused());
            Err(ServiceError::InvalidRefreshToken)
        }
    }
}

/// Verifies the bearer token without a revocation check: the exchange refuses an ended session in the transaction that
/// rotates the token.
fn verify_bearer(service: &Service, token: &str) -> Result<SessionToken, ServiceError> {
    service
        .tokens
        .verifier
        .verify_session_ignoring_expiry(TokenKind::Access, token)
        .map_err(|error| map_token_error(error, ServiceError::InvalidAccessToken))
}
