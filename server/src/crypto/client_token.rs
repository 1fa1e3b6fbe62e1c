//! What access tokens of clients contain: those that a client got for itself (RFC 6749 §4.4), and those that it got for the
//! token of somebody who called it (RFC 8693).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use latchkey_clients::rules::client_id_fault;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ServiceAccountToken;
use crate::domain::ClientId;

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
    /// `workload`: what a workload got the token with.
    pub workload: Option<ServiceAccountToken>,
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
    /// What a workload authenticated with. The token is accepted only while the API server accepts this one.
    pub workload: Option<&'a ServiceAccountToken>,
    pub jti: Uuid,
    pub expires_at: DateTime<Utc>,
}

/// The content of an access token that a client got for the token of another (RFC 8693). It never stands for its subject at
/// this service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangedToken {
    /// `sub`, and `sid` of a person
    pub subject: TokenOwner,
    /// `act`; the first one is `client_id`.
    pub actors: Actors,
    /// `cred`: the credential of the client that got the token.
    pub credential: Uuid,
    /// `prior_creds`: the credentials of the clients whose tokens were exchanged before.
    pub prior_credentials: Arc<[Uuid]>,
    /// `workload`: what the client got the token with, if it is a workload.
    pub workload: Option<ServiceAccountToken>,
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

/// An exchanged token that is to be signed.
#[derive(Debug, Clone)]
pub struct ExchangeGrant<'a> {
    /// As a token of the client that gets it.
    pub token: ClientGrant<'a>,
    pub subject: TokenOwner,
    /// The first one is the client that gets the token.
    pub actors: Actors,
    pub prior_credentials: Vec<Uuid>,
}

/// For whom an exchanged token is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenOwner {
    /// A person, whose session the token ends with.
    Person {
        user_id: i64,
        session_id: Uuid,
    },
    Client(ClientId),
}

impl TokenOwner {
    /// The owner with these claims. The id of a client is never that of an account (RFC 9700 §4.15).
    pub(super) fn of_claims(sub: &str, sid: Option<Uuid>) -> Option<Self> {
        match sid {
            Some(session_id) => Some(Self::Person { user_id: sub.parse().ok()?, session_id }),
            None => registered_id(sub).map(Self::Client),
        }
    }

    /// `sub` and `sid`
    pub fn to_claims(&self) -> (String, Option<Uuid>) {
        match self {
            Self::Person { user_id, session_id } => (user_id.to_string(), Some(*session_id)),
            Self::Client(client) => (client.as_str().to_owned(), None),
        }
    }
}

/// The clients through which a token was exchanged, the latest first: 1 to [`Actors::MOST`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actors(Arc<[ClientId]>);

impl Actors {
    /// A longer chain is not issued: each request would carry it.
    pub const MOST: usize = 4;

    /// A client that acts with a token that these clients acted with before; `None` if they are too many.
    pub fn begin(client: ClientId, before: Option<&Self>) -> Option<Self> {
        let before = before.map(|before| &*before.0).unwrap_or_default();
        let actors: Arc<[_]> = [client].into_iter().chain(before.iter().cloned()).collect();
        (actors.len() <= Self::MOST).then_some(Self(actors))
    }

    /// The client that acts now.
    pub fn current(&self) -> &ClientId {
        // It is never empty.
        &self.0[0]
    }

    /// `act` (RFC 8693 §4.1)
    pub fn to_claim(&self) -> Act {
        let nest = |inner: Option<Act>, client: &ClientId| {
            Some(Act { sub: client.as_str().to_owned(), act: inner.map(Box::new) })
        };
        let outermost = self.0.iter().rev().fold(None, nest);
        outermost.unwrap_or_else(|| Act { sub: String::new(), act: None })
    }

    /// The actors of a claim, of which the current one must be the client of the token.
    pub(super) fn of_claim(act: &Act, client_id: Option<&str>) -> Option<Self> {
        let claims = std::iter::successors(Some(act), |act| act.act.as_deref());
        let actors: Option<Vec<_>> = claims.take(Self::MOST + 1).map(|act| registered_id(&act.sub)).collect();
        let actors = actors.filter(|actors| actors.len() <= Self::MOST)?;
        (client_id == Some(&act.sub)).then(|| Self(actors.into()))
    }
}

/// `act` (RFC 8693 §4.1): the client that acts, and within it the one that acted before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    act: Option<Box<Self>>,
}

fn registered_id(id: &str) -> Option<ClientId> {
    ClientId::parse(id).filter(|_| client_id_fault(id).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: &str) -> ClientId {
        ClientId::parse(id).unwrap()
    }

    #[test]
    fn the_chain_of_actors_is_kept_and_bounded() {
        let mut actors = Actors::begin(client("a"), None).unwrap();
        for next in ["b", "c", "d"] {
            actors = Actors::begin(client(next), Some(&actors)).unwrap();
            assert_eq!(actors.current().as_str(), next);
            let claim = actors.to_claim();
            assert_eq!(Actors::of_claim(&claim, Some(next)), Some(actors.clone()));
            assert_eq!(Actors::of_claim(&claim, Some("a")), None);
            assert_eq!(Actors::of_claim(&claim, None), None);
        }
        let claim = serde_json::to_string(&actors.to_claim()).unwrap();
        assert_eq!(claim, r#"{"sub":"d","act":{"sub":"c","act":{"sub":"b","act":{"sub":"a"}}}}"#);
        assert_eq!(Actors::begin(client("e"), Some(&actors)), None);
        let longer = Act { sub: "e".to_owned(), act: Some(Box::new(actors.to_claim())) };
        assert_eq!(Actors::of_claim(&longer, Some("e")), None);
    }
}
