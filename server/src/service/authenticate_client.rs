//! Authenticating a program: a registered client, or one that introspects or revokes tokens.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::authenticate_assertion::authenticate_by_assertion;
use super::client_attempt::{Assertion, refuse_guess};
use super::{Service, ServiceError, Superuser, authenticate_to_end, require_superuser};
use crate::client_registry::AuthenticatedClient;
use crate::crypto::VerifiedToken;
use crate::domain::Origin;

/// The credentials of a program (RFC 7662 §2.1, RFC 7009 §2.1).
#[derive(Clone, Copy)]
pub enum ClientCredentials<'a> {
    /// The access token of a superuser.
    AccessToken(&'a str),
    /// An id and a secret, in each way in which the header can be decoded: `INTROSPECTION_CLIENT_ID` and
    /// `INTROSPECTION_CLIENT_SECRET`, or those of a registered client.
    Secret(&'a [(&'a str, &'a str)]),
    /// An assertion of a registered client (RFC 7521 §4.2).
    Assertion(Assertion<'a>),
}

/// Proof that a program may introspect and revoke tokens; only [`authenticate_client`] creates it.
#[derive(Debug, Clone)]
pub struct TokenClient(Right);

#[derive(Debug, Clone)]
enum Right {
    /// For every token, until the superuser loses the right.
    Superuser(Superuser),
    /// For every token: `INTROSPECTION_CLIENT_ID`.
    Configured,
    /// For tokens that concern the client.
    Registered(AuthenticatedClient),
}

impl TokenClient {
    /// The superuser whose access token the program presented, if it did.
    pub(super) fn superuser(&self) -> Option<Superuser> {
        match self.0 {
            Right::Superuser(superuser) => Some(superuser),
            Right::Configured | Right::Registered(_) => None,
        }
    }

    /// The id of the registered client, if it is one.
    pub(super) fn registered_id(&self) -> Option<&str> {
        match &self.0 {
            Right::Registered(authenticated) => Some(&authenticated.client.client_id),
            Right::Superuser(_) | Right::Configured => None,
        }
    }

    /// Asserts that the program still has that right.
    ///
    /// # Errors
    /// [`ServiceError::InvalidAccessToken`], [`ServiceError::NotSuperuser`], [`ServiceError::InvalidClient`],
    /// [`ServiceError::Unavailable`]
    pub(super) async fn assert(&self, service: &Service) -> Result<(), ServiceError> {
        match &self.0 {
            Right::Superuser(superuser) => {
                let asserted = service.store.assert_administers(&superuser.administrator()).await;
                asserted.map_err(|error| superuser.explain(service, error))
            }
            Right::Configured => Ok(()),
            Right::Registered(AuthenticatedClient { client, credential, .. }) => {
                let clients = service.clients.clients()?;
                let goes_on = clients.has_credential(&client.client_id, *credential);
                if goes_on { Ok(()) } else { Err(ServiceError::InvalidClient) }
            }
        }
    }

    /// The account whose access token the program presented, if it did.
    pub fn actor_id(&self) -> Option<i64> {
        self.superuser().map(Superuser::user_id)
    }

    /// Whether the program may learn what a token says: a registered client only of one that was issued to it or for it
    /// (RFC 7662 §4).
    pub(super) fn may_see(&self, token: &VerifiedToken, audience_of_people: &str) -> bool {
        let audience = match token {
            VerifiedToken::Session(_) => audience_of_people,
            VerifiedToken::Client(token) => &token.audience,
            VerifiedToken::Exchanged(token) => &token.audience,
        };
        self.owns(token) || self.registered_id() == Some(audience)
    }

    /// Whether the program may revoke a token: a registered client only one that was issued to it (RFC 7009 §2.1).
    pub(super) fn owns(&self, token: &VerifiedToken) -> bool {
        let Some(id) = self.registered_id() else { return true };
        match token {
            VerifiedToken::Session(token) => {
                token.client.as_ref().is_some_and(|client| client.as_str() == id)
            }
            VerifiedToken::Client(token) => token.client.as_str() == id,
            VerifiedToken::Exchanged(token) => token.actors.current().as_str() == id,
        }
    }
}

/// Checks the credentials. Only wrong ones count against the limit, and correct ones are never limited: an attacker in the
/// same network cannot lock the client out, and its secret cannot be guessed.
///
/// # Errors
/// [`ServiceError::InvalidClient`], [`ServiceError::RateLimited`]; for an access token those of [`authenticate_to_end`] and
/// [`require_superuser`].
pub async fn authenticate_client(
    service: &Service,
    credentials: ClientCredentials<'_>,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<TokenClient, ServiceError> {
    match credentials {
        ClientCredentials::AccessToken(token) => {
            // The program may have revoked a token of its own session before.
            let bearer = authenticate_to_end(service, token, now).await?;
            Ok(TokenClient(Right::Superuser(require_superuser(service, bearer).await?)))
        }
        ClientCredentials::Secret(readings) => {
            let client = service.introspection_client.as_ref();
            if client.is_some_and(|client| readings.iter().any(|(id, secret)| client.matches(id, secret))) {
                return Ok(TokenClient(Right::Configured));
            }
            let authenticated = authenticate_registered_client(service, readings, origin, now).await?;
            Ok(TokenClient(Right::Registered(authenticated)))
        }
        ClientCredentials::Assertion(assertion) => {
            let authenticated = authenticate_by_assertion(service, assertion, origin, now).await?;
            Ok(TokenClient(Right::Registered(authenticated)))
        }
    }
}

/// Checks the secret of a registered client, as [`authenticate_client`] does.
///
/// # Errors
/// [`ServiceError::InvalidClient`], [`ServiceError::RateLimited`], [`ServiceError::Unavailable`]
pub(super) async fn authenticate_registered_client(
    service: &Service,
    readings: &[(&str, &str)],
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<AuthenticatedClient, ServiceError> {
    let clients = service.clients.clients()?;
    // Every reading is tried, so that the time does not depend on which one is right.
    let found =
        readings.iter().fold(None, |found, (id, secret)| clients.authenticate(id, secret, now).or(found));
    if let Some(authenticated) = found {
        return Ok(authenticated);
    }
    // A request without a secret guesses nothing.
    if readings.iter().all(|(_, secret)| secret.is_empty()) {
        return Err(ServiceError::InvalidClient);
    }
    // Only an id that is known: programs may send a secret in its place.
    let known = readings.iter().find_map(|(id, _)| Some(&clients.find(id)?.client_id));
    let detail = known.map_or_else(|| json!({}), |id| json!({ "client_id": id }));
    Err(refuse_guess(service, detail, origin).await?)
}
