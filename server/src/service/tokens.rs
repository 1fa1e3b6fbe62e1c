//! Signing the two tokens of a session.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_config::Settings;
use uuid::Uuid;

use super::ServiceError;
use crate::crypto::{ClientGrant, KeyRing, TokenIssuer, TokenKind, TokenVerifier};
use crate::domain::ClientId;

/// A signed token and its lifetime in seconds.
#[derive(Clone)]
pub struct IssuedToken {
    pub token: String,
    /// Seconds until it expires.
    pub expires_in: i64,
}

/// The tokens of a login or a refresh.
#[derive(Clone)]
pub struct TokenPair {
    pub username: String,
    /// For `Authorization: Bearer`.
    pub access: IssuedToken,
    /// For one exchange.
    pub refresh: IssuedToken,
}

/// The session that tokens are signed for.
#[derive(Debug, Clone)]
pub(super) struct TokenSubject {
    pub(super) user_id: i64,
    pub(super) session_id: Uuid,
    pub(super) refresh_jti: Uuid,
    /// The client that was named.
    pub(super) client: Option<ClientId>,
    pub(super) access_expires_at: DateTime<Utc>,
    pub(super) refresh_expires_at: DateTime<Utc>,
}

/// Signs and verifies tokens.
pub(super) struct Tokens {
    issuer: TokenIssuer,
    pub(super) verifier: TokenVerifier,
    pub(super) access_lifetime: TimeDelta,
    pub(super) refresh_lifetime: TimeDelta,
}

impl Tokens {
    pub(super) fn new(settings: &Settings, ring: Arc<KeyRing>) -> Self {
        let (issuer, audience) = (settings.issuer(), settings.audience());
        Self {
            issuer: TokenIssuer::new(Arc::clone(&ring), issuer, audience),
            verifier: TokenVerifier::new(ring, issuer, audience),
            access_lifetime: TimeDelta::seconds(settings.access_token_lifetime.as_seconds()),
            refresh_lifetime: TimeDelta::seconds(settings.refresh_token_lifetime.as_seconds()),
        }
    }

    pub(super) fn sign_for_client(
        &self,
        grant: &ClientGrant<'_>,
        now: DateTime<Utc>,
    ) -> Result<IssuedToken, ServiceError> {
        let token = self.issuer.sign_for_client(grant, now)?;
        Ok(IssuedToken { token, expires_in: grant.expires_at.timestamp() - now.timestamp() })
    }

    pub(super) fn sign_pair(
        &self,
        username: String,
        subject: &TokenSubject,
        now: DateTime<Utc>,
    ) -> Result<TokenPair, ServiceError> {
        let sign = |kind, jti, expires_at: DateTime<Utc>| -> Result<IssuedToken, ServiceError> {
            let ids = (subject.user_id, subject.session_id, jti);
            let token = self.issuer.sign(kind, ids, subject.client.as_ref(), now, expires_at)?;
            Ok(IssuedToken { token, expires_in: expires_at.timestamp() - now.timestamp() })
        };
        Ok(TokenPair {
            username,
            access: sign(TokenKind::Access, Uuid::new_v4(), subject.access_expires_at)?,
            refresh: sign(TokenKind::Refresh, subject.refresh_jti, subject.refresh_expires_at)?,
        })
    }
}
