//! Access and refresh tokens: JWTs that follow RFC 9068 and RFC 8725.

use std::sync::Arc;

use aws_lc_rs::digest;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::KeyRing;
use super::key_ring::Keys;
use crate::domain::ClientId;
use crate::domain::clock::CLOCK_MARGIN;

/// The difference between the clocks of two ready replicas, so that one accepts what the other has just signed: one may be
/// [`CLOCK_MARGIN`] ahead of the database and the other as much behind it.
const LARGEST_SKEW: TimeDelta = TimeDelta::minutes(2 * CLOCK_MARGIN.num_minutes());

/// The kind of a token, which the header's `typ` names (RFC 8725 §3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// `at+jwt` (RFC 9068 §2.1)
    Access,
    /// `rt+jwt`
    Refresh,
}

impl TokenKind {
    /// The name in RFC 7009 §2.1.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access_token",
            Self::Refresh => "refresh_token",
        }
    }

    fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
        }
    }
}

/// The claims of access and refresh tokens. Times are seconds since the Unix epoch.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: Uuid,
    sid: Uuid,
    /// RFC 9068 §2.2. In a refresh token: the client that it was issued to, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
}

/// The content of a token whose signature and claims are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// `sub`
    pub user_id: i64,
    /// `sid`
    pub session_id: Uuid,
    pub jti: Uuid,
    /// `iat`
    pub issued_at: DateTime<Utc>,
    /// `nbf`, in seconds since the Unix epoch.
    pub not_before: i64,
    /// `exp`, in seconds since the Unix epoch.
    pub expires_at: i64,
    /// `client_id`
    pub client: Option<ClientId>,
}

impl VerifiedToken {
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at <= now.timestamp()
    }
}

/// Why a token was not issued or not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is malformed, has an unknown key, another issuer, audience or kind, or is not yet valid.
    #[error("the token is not valid")]
    Invalid,
    /// The token is valid apart from its expiry.
    #[error("the token has expired")]
    Expired,
    #[error("no signing key is loaded")]
    NoKeys,
}

/// Signs tokens with the active key.
#[derive(Clone)]
pub struct TokenIssuer {
    ring: Arc<KeyRing>,
    issuer: Arc<str>,
    audience: Arc<str>,
}

impl TokenIssuer {
    pub fn new(ring: Arc<KeyRing>, issuer: &str, audience: &str) -> Self {
        Self { ring, issuer: issuer.into(), audience: audience.into() }
    }

    /// Signs a token of `kind` for a session.
    ///
    /// # Errors
    /// [`TokenError::NoKeys`] before the first key set is loaded.
    pub fn sign(
        &self,
        kind: TokenKind,
        (user_id, sid, jti): (i64, Uuid, Uuid),
        client: Option<&ClientId>,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<String, TokenError> {
        let keys = self.ring.keys().ok_or(TokenError::NoKeys)?;
        let mut header = Header::new(keys.active_algorithm);
        header.typ = Some(kind.typ().to_owned());
        header.kid = Some(keys.active_kid.clone());
        let claims = Claims {
            iss: self.issuer.to_string(),
            sub: user_id.to_string(),
            aud: self.audience.to_string(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: expires_at.timestamp(),
            jti,
            sid,
            client_id: match kind {
                TokenKind::Access => Some(ClientId::or_none_named(client).to_owned()),
                TokenKind::Refresh => client.map(|client| client.as_str().to_owned()),
            },
        };
        jsonwebtoken::encode(&header, &claims, &keys.signing).map_err(|_| TokenError::NoKeys)
    }
}

/// The kind of a verified token and the SHA-256 of its text.
type CacheKey = (TokenKind, [u8; 32]);

/// The number of verified tokens that are cached, at about 100 bytes each. An application sends the same access token
/// with every request, and verifying its signature is the largest part of a request's cost.
const CACHE_CAPACITY: usize = 8_192;

/// Verifies tokens with the current keys. Cheap to clone.
#[derive(Clone)]
pub struct TokenVerifier {
    ring: Arc<KeyRing>,
    issuer: Arc<str>,
    audience: Arc<str>,
    /// Each entry has the serial number of the key set that verified the token. Entries of another key set are ignored,
    /// because the token's key may have been removed.
    cache: Arc<Cache<CacheKey, (u64, VerifiedToken)>>,
}

impl TokenVerifier {
    pub fn new(ring: Arc<KeyRing>, issuer: &str, audience: &str) -> Self {
        let cache = Arc::new(Cache::new(CACHE_CAPACITY));
        Self { ring, issuer: issuer.into(), audience: audience.into(), cache }
    }

    /// The required `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The required `aud`.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Checks everything except revocation.
    ///
    /// # Errors
    /// [`TokenError::Expired`] if the token is valid apart from its expiry.
    pub fn verify(
        &self,
        kind: TokenKind,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, TokenError> {
        let verified = self.verify_ignoring_expiry(kind, token)?;
        if verified.has_expired(now) { Err(TokenError::Expired) } else { Ok(verified) }
    }

    /// Like [`Self::verify`], but accepts expired tokens. Only `/refresh` may accept an expired access token.
    ///
    /// # Errors
    /// [`TokenError::Invalid`], [`TokenError::NoKeys`]
    pub fn verify_ignoring_expiry(&self, kind: TokenKind, token: &str) -> Result<VerifiedToken, TokenError> {
        let keys = self.ring.keys().ok_or(TokenError::NoKeys)?;
        let mut hash = [0_u8; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        if let Some((serial, verified)) = self.cache.get(&(kind, hash))
            && serial == keys.serial
        {
            return Ok(verified);
        }
        let verified = self.check(&keys, kind, token)?;
        self.cache.insert((kind, hash), (keys.serial, verified.clone()));
        Ok(verified)
    }

    fn check(&self, keys: &Keys, kind: TokenKind, token: &str) -> Result<VerifiedToken, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        // RFC 8725 §3.11: an explicit type prevents a token of one kind from being accepted as the other.
        // RFC 7515 §4.1.11: a token with unsupported critical extensions is invalid.
        if header.typ.as_deref() != Some(kind.typ()) || header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        let key =
            header.kid.as_ref().and_then(|kid| keys.verification.get(kid)).ok_or(TokenError::Invalid)?;
        // RFC 8725 §3.1: the key determines the algorithm, regardless of the header.
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LARGEST_SKEW.num_seconds().unsigned_abs();
        // The caller checks the expiry without leeway, so that no token is valid for longer than its lifetime.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        Ok(VerifiedToken {
            user_id: claims.sub.parse().map_err(|_| TokenError::Invalid)?,
            session_id: claims.sid,
            jti: claims.jti,
            issued_at: DateTime::from_timestamp(claims.iat, 0).ok_or(TokenError::Invalid)?,
            not_before: claims.nbf,
            expires_at: claims.exp,
            client: claims.client_id.as_deref().and_then(ClientId::parse),
        })
    }
}
