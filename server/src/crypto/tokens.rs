//! Access and refresh tokens: JWTs that follow RFC 9068 and RFC 8725.

use std::sync::Arc;

use aws_lc_rs::digest;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Header, Validation};
use latchkey_clients::rules::client_id_fault;
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

/// The claims of access and refresh tokens. Times are seconds since the Unix epoch. A token has either `sid` or `cred`.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: Uuid,
    /// The session of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<Uuid>,
    /// The credential with which a client got the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cred: Option<Uuid>,
    /// RFC 9068 §2.2. In a refresh token: the client that it was issued to, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// RFC 9068 §2.2.3, of a client's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// A token whose signature and claims are valid. A use case that acts for a person takes a [`SessionToken`], so that it
/// cannot be given a client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifiedToken {
    /// A person's.
    Session(SessionToken),
    /// A client's own.
    Client(ClientToken),
}

impl VerifiedToken {
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        let expires_at = match self {
            Self::Session(token) => token.expires_at,
            Self::Client(token) => token.expires_at,
        };
        expires_at <= now.timestamp()
    }
}

/// The content of an access token that a client got with its own credential (RFC 6749 §4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientToken {
    /// `client_id` and `sub`
    pub client: ClientId,
    /// `cred`
    pub credential: Uuid,
    /// `aud`: need not be the audience of this service.
    pub audience: Arc<str>,
    /// `scope`
    pub scope: Option<Arc<str>>,
    pub jti: Uuid,
    /// `iat`
    pub issued_at: DateTime<Utc>,
    /// `nbf`, in seconds since the Unix epoch.
    pub not_before: i64,
    /// `exp`, in seconds since the Unix epoch.
    pub expires_at: i64,
}

/// A token that is to be signed for a client.
#[derive(Debug, Clone, Copy)]
pub struct ClientGrant<'a> {
    pub client_id: &'a str,
    pub credential: Uuid,
    pub audience: &'a str,
    /// `None` if no scope is granted.
    pub scope: Option<&'a str>,
    pub jti: Uuid,
    pub expires_at: DateTime<Utc>,
}

/// The content of a person's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionToken {
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
        let claims = Claims {
            iss: self.issuer.to_string(),
            sub: user_id.to_string(),
            aud: self.audience.to_string(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: expires_at.timestamp(),
            jti,
            sid: Some(sid),
            cred: None,
            client_id: match kind {
                TokenKind::Access => Some(ClientId::or_none_named(client).to_owned()),
                TokenKind::Refresh => client.map(|client| client.as_str().to_owned()),
            },
            scope: None,
        };
        self.encode(kind, &claims)
    }

    /// Signs an access token for a client.
    ///
    /// # Errors
    /// [`TokenError::NoKeys`] before the first key set is loaded.
    pub fn sign_for_client(&self, grant: &ClientGrant<'_>, now: DateTime<Utc>) -> Result<String, TokenError> {
        let claims = Claims {
            iss: self.issuer.to_string(),
            sub: grant.client_id.to_owned(),
            aud: grant.audience.to_owned(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: grant.expires_at.timestamp(),
            jti: grant.jti,
            sid: None,
            cred: Some(grant.credential),
            client_id: Some(grant.client_id.to_owned()),
            scope: grant.scope.map(str::to_owned),
        };
        self.encode(TokenKind::Access, &claims)
    }

    fn encode(&self, kind: TokenKind, claims: &Claims) -> Result<String, TokenError> {
        let keys = self.ring.keys().ok_or(TokenError::NoKeys)?;
        let mut header = Header::new(keys.active_algorithm);
        header.typ = Some(kind.typ().to_owned());
        header.kid = Some(keys.active_kid.clone());
        jsonwebtoken::encode(&header, claims, &keys.signing).map_err(|_| TokenError::NoKeys)
    }
}

/// The kind of a verified token and the SHA-256 of its text.
type CacheKey = (TokenKind, [u8; 32]);

/// The number of verified tokens that are cached, at about 200 bytes each. An application sends the same access token
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

    /// The required `aud` of people's tokens.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Checks everything except revocation. Refuses a client's token.
    ///
    /// # Errors
    /// [`TokenError::Expired`] if the token is valid apart from its expiry.
    pub fn verify_session(
        &self,
        kind: TokenKind,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<SessionToken, TokenError> {
        let verified = self.verify_session_ignoring_expiry(kind, token)?;
        if verified.expires_at <= now.timestamp() { Err(TokenError::Expired) } else { Ok(verified) }
    }

    /// Like [`Self::verify_session`], but accepts expired tokens. Only `/refresh` may accept an expired access token.
    ///
    /// # Errors
    /// [`TokenError::Invalid`], [`TokenError::NoKeys`]
    pub fn verify_session_ignoring_expiry(
        &self,
        kind: TokenKind,
        token: &str,
    ) -> Result<SessionToken, TokenError> {
        match self.verify_ignoring_expiry(kind, token)? {
            VerifiedToken::Session(token) => Ok(token),
            VerifiedToken::Client(_) => Err(TokenError::Invalid),
        }
    }

    /// Checks an access token of a person or a client, except its revocation.
    ///
    /// # Errors
    /// [`TokenError::Expired`] if the token is valid apart from its expiry.
    pub fn verify_access(&self, token: &str, now: DateTime<Utc>) -> Result<VerifiedToken, TokenError> {
        let verified = self.verify_ignoring_expiry(TokenKind::Access, token)?;
        if verified.has_expired(now) { Err(TokenError::Expired) } else { Ok(verified) }
    }

    /// Checks a token of a person or a client, except its expiry and its revocation.
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
        // `decide_holder` checks the audience, which is another one in a client's token.
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LARGEST_SKEW.num_seconds().unsigned_abs();
        // The caller checks the expiry without leeway, so that no token is valid for longer than its lifetime.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        self.decide_holder(kind, claims).ok_or(TokenError::Invalid)
    }

    /// Whose token it is: `sid` is a person's, `cred` a client's; one with both or neither is nobody's.
    fn decide_holder(&self, kind: TokenKind, claims: Claims) -> Option<VerifiedToken> {
        let issued_at = DateTime::from_timestamp(claims.iat, 0)?;
        match (claims.sid, claims.cred) {
            (Some(session_id), None) => {
                let is_ours = *claims.aud == *self.audience;
                is_ours.then_some(VerifiedToken::Session(SessionToken {
                    user_id: claims.sub.parse().ok()?,
                    session_id,
                    jti: claims.jti,
                    issued_at,
                    not_before: claims.nbf,
                    expires_at: claims.exp,
                    client: claims.client_id.as_deref().and_then(ClientId::parse),
                }))
            }
            (None, Some(credential)) => {
                // RFC 9700 §4.15: the subject of a client must not be taken for that of a person.
                let is_client = kind == TokenKind::Access
                    && claims.client_id.as_ref() == Some(&claims.sub)
                    && client_id_fault(&claims.sub).is_none();
                is_client.then_some(VerifiedToken::Client(ClientToken {
                    client: ClientId::parse(&claims.sub)?,
                    credential,
                    audience: claims.aud.into(),
                    scope: claims.scope.map(Into::into),
                    jti: claims.jti,
                    issued_at,
                    not_before: claims.nbf,
                    expires_at: claims.exp,
                }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
