//! Access and refresh tokens: JWTs that follow RFC 9068 and RFC 8725.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use jsonwebtoken::Header;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::client_token::{Act, ClientGrant, ClientToken, ExchangeGrant, ExchangedToken};
use super::key_ring::Keys;
use super::person_claims::AllClaims;
use super::{KeyRing, PersonClaims};
use crate::domain::ClientId;

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

    pub(super) fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
        }
    }
}

/// The claims of access and refresh tokens. Times are seconds since the Unix epoch. A token has either `sid` or `cred`, unless
/// it has `act`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: String,
    pub(super) iat: i64,
    pub(super) nbf: i64,
    pub(super) exp: i64,
    pub(super) jti: Uuid,
    /// The session of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<Uuid>,
    /// The credential with which a client got the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cred: Option<Uuid>,
    /// RFC 9068 §2.2. In a refresh token: the client that it was issued to, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    /// RFC 9068 §2.2.3, of an access token for a registered client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    /// The token of the service account with which a workload got the token, encrypted for this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) workload: Option<String>,
    /// RFC 9068 §2.2.3.1, of a person's access token whose scopes include `groups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) groups: Option<Vec<String>>,
    /// RFC 8693 §4.1, of an exchanged token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) act: Option<Act>,
    /// Of an exchanged token: the credentials of the clients whose tokens were exchanged before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) prior_creds: Vec<Uuid>,
}

/// A token whose signature and claims are valid. A use case that acts for a person takes a [`SessionToken`], so that it
/// cannot be given a client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifiedToken {
    /// A person's.
    Session(SessionToken),
    /// A client's own.
    Client(ClientToken),
    /// A client's, which it got for the token of another.
    Exchanged(ExchangedToken),
}

impl VerifiedToken {
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        let expires_at = match self {
            Self::Session(token) => token.expires_at,
            Self::Client(token) => token.expires_at,
            Self::Exchanged(token) => token.expires_at,
        };
        expires_at <= now.timestamp()
    }
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
    /// `scope`, of an access token.
    pub scope: Option<Arc<str>>,
    /// `groups`, of an access token.
    pub groups: Option<Arc<[String]>>,
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

    /// Signs a token of `kind` for a session. An access token has the claims about the person.
    ///
    /// # Errors
    /// [`TokenError::NoKeys`] before the first key set is loaded.
    pub fn sign(
        &self,
        kind: TokenKind,
        (user_id, sid, jti): (i64, Uuid, Uuid),
        (client, person): (Option<&ClientId>, &PersonClaims),
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<String, TokenError> {
        let person = (kind == TokenKind::Access).then_some(person);
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
            scope: person.and_then(|person| person.scope.clone()),
            workload: None,
            groups: person.and_then(|person| person.groups.clone()),
            act: None,
            prior_creds: Vec::new(),
        };
        let keys = self.ring.keys().ok_or(TokenError::NoKeys)?;
        match person.map(|person| &person.more).filter(|more| !more.is_empty()) {
            Some(more) => encode(&keys, kind, &AllClaims { claims: &claims, more }),
            None => encode(&keys, kind, &claims),
        }
    }

    /// Signs an access token for a client.
    ///
    /// # Errors
    /// [`TokenError::NoKeys`] before the first key set is loaded.
    pub fn sign_for_client(&self, grant: &ClientGrant<'_>, now: DateTime<Utc>) -> Result<String, TokenError> {
        let keys = self.ring.keys().ok_or(TokenError::NoKeys)?;
        encode(&keys, TokenKind::Access, &self.claims_of_client(&keys, grant, now)?)
    }

    /// Signs an access token for a client that exchanges a token.
    ///
    /// # Errors
    /// [`TokenError::NoKeys`] before the first key set is loaded.
    pub fn sign_exchanged(
        &self,
        grant: &ExchangeGrant<'_>,
        now: DateTime<Utc>,
    ) -> Result<String, TokenError> {
        let keys = self.ring.keys().ok_or(TokenError::NoKeys)?;
        let (sub, sid) = grant.subject.to_claims();
        let (act, prior_creds) = (Some(grant.actors.to_claim()), grant.prior_credentials.clone());
        let claims =
            Claims { sub, sid, act, prior_creds, ..self.claims_of_client(&keys, &grant.token, now)? };
        encode(&keys, TokenKind::Access, &claims)
    }

    fn claims_of_client(
        &self,
        keys: &Keys,
        grant: &ClientGrant<'_>,
        now: DateTime<Utc>,
    ) -> Result<Claims, TokenError> {
        let sealed = grant.workload.map(|token| keys.seal(token, [grant.jti, grant.credential]));
        Ok(Claims {
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
            workload: sealed.map(|sealed| sealed.ok_or(TokenError::Invalid)).transpose()?,
            groups: None,
            act: None,
            prior_creds: Vec::new(),
        })
    }
}

fn encode<C: Serialize>(keys: &Keys, kind: TokenKind, claims: &C) -> Result<String, TokenError> {
    let mut header = Header::new(keys.active_algorithm);
    header.typ = Some(kind.typ().to_owned());
    header.kid = Some(keys.active_kid.clone());
    jsonwebtoken::encode(&header, claims, &keys.signing).map_err(|_| TokenError::NoKeys)
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
