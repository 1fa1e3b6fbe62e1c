//! Exchanging a refresh token for a new pair of tokens.

use chrono::{DateTime, Utc};
use latchkey_clients::GrantType;
use uuid::Uuid;

use crate::crypto::{SessionToken, TokenKind};
use crate::domain::Origin;
use crate::service::admit_client::may_go_without_authentication;
use crate::service::announce_again::announce_recent_end;
use crate::service::authenticate::map_token_error;
use crate::service::tokens::TokenSubject;
use crate::service::{AdmittedClient, Service, ServiceError, TokenPair};
use crate::store::{RefreshOutcome, RefreshRequest};

/// Rotates a refresh token (RFC 9700 §4.14.2). `bearer` is the access token of the same session, which may have expired;
/// without one (RFC 6749 §6) the refresh token alone decides. A `client` that is named must be the one that the token was
/// issued to, if it was issued to one. A registered client that has a secret must have shown it.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`], [`ServiceError::InvalidRefreshToken`], [`ServiceError::Unavailable`]
pub async fn refresh(
    service: &Service,
    refresh_token: &str,
    bearer: Option<&str>,
    client: AdmittedClient,
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
    let client = match (presented.client, client.into_id()) {
        (Some(issued_to), Some(named)) if issued_to != named => {
            return Err(ServiceError::InvalidRefreshToken);
        }
        (Some(issued_to), None) => {
            if !may_go_without_authentication(service, &issued_to, GrantType::RefreshToken)? {
                return Err(ServiceError::InvalidRefreshToken);
            }
            Some(issued_to)
        }
        (issued_to, named) => issued_to.or(named),
    };
    let request = RefreshRequest {
        session_id: presented.session_id,
        user_id,
        jti: presented.jti,
        next_jti: Uuid::now_v7(),
        access_expires_at: now + service.tokens.access_lifetime,
        refresh_expires_at: now + service.tokens.refresh_lifetime,
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
                client,
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

/// Verifies the bearer token without a revocation check: the exchange refuses an ended session in the transaction that
/// rotates the token.
fn verify_bearer(service: &Service, token: &str) -> Result<SessionToken, ServiceError> {
    service
        .tokens
        .verifier
        .verify_session_ignoring_expiry(TokenKind::Access, token)
        .map_err(|error| map_token_error(error, ServiceError::InvalidAccessToken))
}
