//! What access and refresh tokens contain, which follow RFC 9068 and RFC 8725.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::client_token::{Act, ClientToken, ExchangedToken};
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
