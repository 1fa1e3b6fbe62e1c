//! Access and refresh tokens: JWTs as RFC 9068 and RFC 8725 want them.

use std::sync::Arc;

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::KeyRing;
use super::key_ring::Keys;

/// How far the clocks of two replicas may be apart before one refuses what the other has just signed.
const CLOCK_SKEW_SECONDS: u64 = 5;

/// The two kinds, told apart by the header's `typ` (RFC 8725 §3.11).
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

/// The claims of both kinds. Times are seconds since the epoch.
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
}

/// What a token whose signature and claims are good says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedToken {
    /// `sub`
    pub user_id: i64,
    /// `sid`
    pub session_id: Uuid,
    /// Unique id of the token.
    pub jti: Uuid,
    /// `iat`
    pub issued_at: DateTime<Utc>,
    /// `nbf`, seconds since the epoch.
    pub not_before: i64,
    /// `exp`, seconds since the epoch.
    pub expires_at: i64,
}

impl VerifiedToken {
    /// Whether it has expired at `now`.
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at <= now.timestamp()
    }
}

/// Why a token was not made or not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Malformed, signed by an unknown key, of another issuer, audience or kind, or not yet valid.
    #[error("the token is not valid")]
    Invalid,
    /// Its only fault.
    #[error("the token has expired")]
    Expired,
    /// No key set is loaded.
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
    /// An issuer whose tokens carry these `iss` and `aud`.
    pub fn new(ring: Arc<KeyRing>, issuer: &str, audience: &str) -> Self {
        Self { ring, issuer: issuer.into(), audience: audience.into() }
    }

    /// Signs a token of `kind` for a session.
    ///
    /// # Errors
    /// [`TokenError::NoKeys`] before the first key set was loaded.
    pub fn sign(
        &self,
        kind: TokenKind,
        (user_id, sid, jti): (i64, Uuid, Uuid),
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
        };
        jsonwebtoken::encode(&header, &claims, &keys.signing).map_err(|_| TokenError::NoKeys)
    }
}

/// A token that was verified, by its kind and the SHA-256 of its text.
type CacheKey = (TokenKind, [u8; 32]);

/// Verified tokens that are remembered: an application sends the same access token with every request, and
/// checking its signature is most of what a request costs. Some 100 bytes each.
const REMEMBERED: usize = 8_192;

/// Checks tokens against the keys in use. Cheap to clone.
#[derive(Clone)]
pub struct TokenVerifier {
    ring: Arc<KeyRing>,
    issuer: Arc<str>,
    audience: Arc<str>,
    /// With the serial number of the key set that verified it: a token whose key was taken out of the set must
    /// not live on in here.
    remembered: Arc<Cache<CacheKey, (u64, VerifiedToken)>>,
}

impl TokenVerifier {
    /// A verifier that wants these `iss` and `aud`.
    pub fn new(ring: Arc<KeyRing>, issuer: &str, audience: &str) -> Self {
        let remembered = Arc::new(Cache::new(REMEMBERED));
        Self { ring, issuer: issuer.into(), audience: audience.into(), remembered }
    }

    /// `iss` of every token.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `aud` of every token.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Checks everything but whether the token was revoked.
    ///
    /// # Errors
    /// [`TokenError::Expired`] when that is its only fault.
    pub fn verify(
        &self,
        kind: TokenKind,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, TokenError> {
        let verified = self.verify_ignoring_expiry(kind, token)?;
        if verified.has_expired(now) { Err(TokenError::Expired) } else { Ok(verified) }
    }

    /// The same for the one place where an expired access token is accepted, `/refresh`.
    ///
    /// # Errors
    /// [`TokenError::Invalid`], [`TokenError::NoKeys`]
    pub fn verify_ignoring_expiry(&self, kind: TokenKind, token: &str) -> Result<VerifiedToken, TokenError> {
        let keys = self.ring.keys().ok_or(TokenError::NoKeys)?;
        let mut hash = [0_u8; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        if let Some((serial, verified)) = self.remembered.get(&(kind, hash))
            && serial == keys.serial
        {
            return Ok(verified);
        }
        let verified = self.check(&keys, kind, token)?;
        self.remembered.insert((kind, hash), (keys.serial, verified));
        Ok(verified)
    }

    fn check(&self, keys: &Keys, kind: TokenKind, token: &str) -> Result<VerifiedToken, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        // RFC 8725 §3.11: the kind is told by typ alone, so that no token passes for the other kind.
        // RFC 7515 §4.1.11: a critical extension that is not understood makes the token invalid.
        if header.typ.as_deref() != Some(kind.typ()) || header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        let key =
            header.kid.as_ref().and_then(|kid| keys.verification.get(kid)).ok_or(TokenError::Invalid)?;
        // RFC 8725 §3.1: the algorithm is the key's, whatever the header says.
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = CLOCK_SKEW_SECONDS;
        // The caller does, to the second: leeway must not make a token live longer than it says.
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
        })
    }
}
