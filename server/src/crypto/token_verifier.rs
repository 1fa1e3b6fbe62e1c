//! Verifying access and refresh tokens (RFC 9068 §4, RFC 8725).

use std::sync::Arc;

use aws_lc_rs::digest;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::Validation;
use latchkey_clients::rules::client_id_fault;

use super::KeyRing;
use super::client_token::{Actors, ClientToken, ExchangedToken, TokenOwner};
use super::key_ring::{Keys, VerificationKey};
use super::token_cache::{Cached, TokenCache, token_cache};
use super::tokens::{Claims, SessionToken, TokenError, TokenKind, VerifiedToken};
use crate::domain::ClientId;
use crate::domain::clock::CLOCK_MARGIN;

/// The difference between the clocks of two ready replicas, so that one accepts what the other has just signed: one may be
/// [`CLOCK_MARGIN`] ahead of the database and the other as much behind it.
const LARGEST_SKEW: TimeDelta = TimeDelta::minutes(2 * CLOCK_MARGIN.num_minutes());

/// The kind of a verified token and the SHA-256 of its text.
type CacheKey = (TokenKind, [u8; 32]);

fn cache_key(kind: TokenKind, token: &str) -> CacheKey {
    let mut hash = [0_u8; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    (kind, hash)
}

/// Verifies tokens with the current keys. Cheap to clone.
#[derive(Clone)]
pub struct TokenVerifier {
    ring: Arc<KeyRing>,
    issuer: Arc<str>,
    audience: Arc<str>,
    cache: Arc<TokenCache<CacheKey, VerifiedToken>>,
}

impl TokenVerifier {
    pub fn new(ring: Arc<KeyRing>, issuer: &str, audience: &str) -> Self {
        let cache = Arc::new(token_cache());
        Self { ring, issuer: issuer.into(), audience: audience.into(), cache }
    }

    /// The current keys, which sign the tokens that are verified here.
    pub(super) fn keys(&self) -> Result<Arc<Keys>, TokenError> {
        self.ring.keys().ok_or(TokenError::NoKeys)
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
            VerifiedToken::Client(_) | VerifiedToken::Exchanged(_) => Err(TokenError::Invalid),
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
        let keys = self.keys()?;
        let key = cache_key(kind, token);
        if let Some(cached) = self.cache.get(&key).filter(|cached| cached.serial == keys.serial) {
            return Ok(cached.token);
        }
        let verified = self.check(&keys, kind, token)?;
        let cached = Cached { serial: keys.serial, length: token.len(), token: verified.clone() };
        self.cache.insert(key, cached);
        Ok(verified)
    }

    /// Adds an access token with these claims to the verified tokens, after it was signed with the active one of these keys: to
    /// verify a signature takes three times as long as to make one.
    pub(super) fn remember(&self, keys: &Keys, token: &str, claims: Claims) {
        let kind = TokenKind::Access;
        let active = keys.verification.get(&keys.active_kid);
        if let Some(verified) = active.and_then(|key| self.decide_holder(kind, claims, key)) {
            let cached = Cached { serial: keys.serial, length: token.len(), token: verified };
            self.cache.insert(cache_key(kind, token), cached);
        }
    }

    /// What is cached for an access token.
    #[cfg(test)]
    pub(super) fn cached(&self, token: &str) -> Option<VerifiedToken> {
        self.cache.get(&cache_key(TokenKind::Access, token)).map(|cached| cached.token)
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
        self.decide_holder(kind, claims, key).ok_or(TokenError::Invalid)
    }

    /// Whose token it is: `sid` is a person's, `cred` a client's, `act` with `cred` an exchanged one; others are nobody's.
    fn decide_holder(&self, kind: TokenKind, claims: Claims, key: &VerificationKey) -> Option<VerifiedToken> {
        let issued_at = DateTime::from_timestamp(claims.iat, 0)?;
        let workload = match (&claims.workload, claims.cred) {
            (Some(sealed), Some(credential)) => Some(key.sealing.open(sealed, [claims.jti, credential])?),
            (Some(_), None) => return None,
            (None, _) => None,
        };
        match (claims.sid, claims.cred, &claims.act) {
            (sid, Some(credential), Some(act)) => {
                let actors = Actors::of_claim(act, claims.client_id.as_deref())?;
                (kind == TokenKind::Access).then_some(VerifiedToken::Exchanged(ExchangedToken {
                    subject: TokenOwner::of_claims(&claims.sub, sid)?,
                    actors,
                    credential,
                    prior_credentials: claims.prior_creds.into(),
                    workload,
                    audience: claims.aud.into(),
                    scope: claims.scope.map(Into::into),
                    jti: claims.jti,
                    issued_at,
                    not_before: claims.nbf,
                    expires_at: claims.exp,
                }))
            }
            (Some(session_id), None, None) => {
                let is_ours = *claims.aud == *self.audience;
                let is_access = kind == TokenKind::Access;
                is_ours.then_some(VerifiedToken::Session(SessionToken {
                    user_id: claims.sub.parse().ok()?,
                    session_id,
                    jti: claims.jti,
                    issued_at,
                    not_before: claims.nbf,
                    expires_at: claims.exp,
                    client: claims.client_id.as_deref().and_then(ClientId::parse),
                    scope: claims.scope.filter(|_| is_access).map(Into::into),
                    groups: claims.groups.filter(|_| is_access).map(Into::into),
                }))
            }
            (None, Some(credential), None) => {
                // RFC 9700 §4.15: the subject of a client must not be taken for that of a person.
                let is_client = kind == TokenKind::Access
                    && claims.client_id.as_ref() == Some(&claims.sub)
                    && client_id_fault(&claims.sub).is_none();
                is_client.then_some(VerifiedToken::Client(ClientToken {
                    client: ClientId::parse(&claims.sub)?,
                    credential,
                    audience: claims.aud.into(),
                    scope: claims.scope.map(Into::into),
                    workload,
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
