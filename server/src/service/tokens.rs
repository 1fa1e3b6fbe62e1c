//! Signing the two tokens of a session.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_clients::Client;
use latchkey_config::Settings;
use uuid::Uuid;

use super::ServiceError;
use crate::crypto::{
    ClientGrant, ExchangeGrant, KeyRing, PersonClaims, TokenIssuer, TokenKind, TokenVerifier,
};
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
    /// The granted scopes, separated by spaces; `None` if there are none.
    pub scope: Option<String>,
}

/// The session that tokens are signed for.
#[derive(Debug, Clone)]
pub(super) struct TokenSubject {
    pub(super) user_id: i64,
    pub(super) session_id: Uuid,
    pub(super) refresh_jti: Uuid,
    /// The client that was named.
    pub(super) client: Option<ClientId>,
    /// What the access token says for a registered client.
    pub(super) claims: PersonClaims,
    pub(super) access_expires_at: DateTime<Utc>,
    pub(super) refresh_expires_at: DateTime<Utc>,
}

/// Signs and verifies tokens.
pub(super) struct Tokens {
    pub(super) issuer: TokenIssuer,
    pub(super) verifier: TokenVerifier,
    pub(super) access_lifetime: TimeDelta,
    pub(super) refresh_lifetime: TimeDelta,
}

impl Tokens {
    pub(super) fn new(settings: &Settings, ring: Arc<KeyRing>) -> Self {
        let verifier = TokenVerifier::new(ring, settings.issuer(), settings.audience());
        Self {
            issuer: TokenIssuer::new(verifier.clone()),
            verifier,
            access_lifetime: TimeDelta::seconds(settings.access_token_lifetime.as_seconds()),
            refresh_lifetime: TimeDelta::seconds(settings.refresh_token_lifetime.as_seconds()),
        }
    }

    /// When the access and the refresh token of a person expire: a registered client may have shorter lifetimes than the
    /// service. The refresh token lives at least as long as the access token, as the session does.
    pub(super) fn expiries(
        &self,
        client: Option<&Client>,
        now: DateTime<Utc>,
    ) -> (DateTime<Utc>, DateTime<Utc>) {
        let shorter = |own: TimeDelta, client: Option<u32>| {
            client.map_or(own, |seconds| own.min(TimeDelta::seconds(seconds.into())))
        };
        let access = shorter(self.access_lifetime, client.map(|client| client.access_token_ttl));
        let refresh = shorter(self.refresh_lifetime, client.map(|client| client.refresh_token_ttl));
        (now + access, now + refresh.max(access))
    }

    pub(super) fn sign_for_client(
        &self,
        grant: &ClientGrant<'_>,
        now: DateTime<Utc>,
    ) -> Result<IssuedToken, ServiceError> {
        let token = self.issuer.sign_for_client(grant, now)?;
        Ok(IssuedToken { token, expires_in: grant.expires_at.timestamp() - now.timestamp() })
    }

    pub(super) fn sign_exchanged(
        &self,
        grant: &ExchangeGrant<'_>,
        now: DateTime<Utc>,
    ) -> Result<IssuedToken, ServiceError> {
        let token = self.issuer.sign_exchanged(grant, now)?;
        Ok(IssuedToken { token, expires_in: grant.token.expires_at.timestamp() - now.timestamp() })
    }

    pub(super) fn sign_pair(
        &self,
        username: String,
        subject: &TokenSubject,
        now: DateTime<Utc>,
    ) -> Result<TokenPair, ServiceError> {
        let sign = |kind, jti, expires_at: DateTime<Utc>| -> Result<IssuedToken, ServiceError> {
            let ids = (subject.user_id, subject.session_id, jti);
            let person = (subject.client.as_ref(), &subject.claims);
            let token = self.issuer.sign(kind, ids, person, now, expires_at)?;
            Ok(IssuedToken { token, expires_in: expires_at.timestamp() - now.timestamp() })
        };
        Ok(TokenPair {
            username,
            access: sign(TokenKind::Access, Uuid::new_v4(), subject.access_expires_at)?,
            refresh: sign(TokenKind::Refresh, subject.refresh_jti, subject.refresh_expires_at)?,
            scope: subject.claims.scope.clone(),
        })
    }
}
