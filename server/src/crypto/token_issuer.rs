//! Signing access and refresh tokens (RFC 9068 §2).

use chrono::{DateTime, Utc};
use jsonwebtoken::Header;
use serde::Serialize;
use uuid::Uuid;

use super::client_token::{ClientGrant, ExchangeGrant};
use super::key_ring::Keys;
use super::person_claims::AllClaims;
use super::tokens::{Claims, TokenError, TokenKind};
use super::{PersonClaims, TokenVerifier};
use crate::domain::ClientId;

/// Signs tokens with the active key of a verifier, which then knows the access tokens: a person's next request or refresh
/// shows it, often to the same replica. Refresh tokens come back once and late.
#[derive(Clone)]
pub struct TokenIssuer {
    verifier: TokenVerifier,
    remembers: bool,
}

impl TokenIssuer {
    pub fn new(verifier: TokenVerifier) -> Self {
        Self { verifier, remembers: true }
    }

    /// From now on the verifier has to check what is signed.
    pub fn forget_tokens(&mut self) {
        self.remembers = false;
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
            iss: self.verifier.issuer().to_owned(),
            sub: user_id.to_string(),
            aud: self.verifier.audience().to_owned(),
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
        let keys = self.verifier.keys()?;
        let token = match person.map(|person| &person.more).filter(|more| !more.is_empty()) {
            Some(more) => encode(&keys, kind, &AllClaims { claims: &claims, more })?,
            None => encode(&keys, kind, &claims)?,
        };
        if kind == TokenKind::Access {
            self.remember(&keys, &token, claims);
        }
        Ok(token)
    }

    /// Signs an access token for a client.
    ///
    /// # Errors
    /// [`TokenError::NoKeys`] before the first key set is loaded.
    pub fn sign_for_client(&self, grant: &ClientGrant<'_>, now: DateTime<Utc>) -> Result<String, TokenError> {
        let keys = self.verifier.keys()?;
        let claims = self.claims_of_client(&keys, grant, now)?;
        self.sign_access(&keys, claims)
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
        let keys = self.verifier.keys()?;
        let (sub, sid) = grant.subject.to_claims();
        let (act, prior_creds) = (Some(grant.actors.to_claim()), grant.prior_credentials.clone());
        let claims =
            Claims { sub, sid, act, prior_creds, ..self.claims_of_client(&keys, &grant.token, now)? };
        self.sign_access(&keys, claims)
    }

    fn sign_access(&self, keys: &Keys, claims: Claims) -> Result<String, TokenError> {
        let token = encode(keys, TokenKind::Access, &claims)?;
        self.remember(keys, &token, claims);
        Ok(token)
    }

    fn remember(&self, keys: &Keys, token: &str, claims: Claims) {
        if self.remembers {
            self.verifier.remember(keys, token, claims);
        }
    }

    fn claims_of_client(
        &self,
        keys: &Keys,
        grant: &ClientGrant<'_>,
        now: DateTime<Utc>,
    ) -> Result<Claims, TokenError> {
        let sealed = grant.workload.map(|token| keys.seal(token, [grant.jti, grant.credential]));
        Ok(Claims {
            iss: self.verifier.issuer().to_owned(),
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
#[path = "token_issuer_tests.rs"]
mod tests;
