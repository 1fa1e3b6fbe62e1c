//! Authenticating a program that introspects or revokes tokens.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{LimitedAction, Service, ServiceError, Superuser, authenticate_to_end, require_superuser};
use crate::domain::{AuditEvent, AuditKind, Origin, Outcome};

/// The credentials of a program (RFC 7662 §2.1, RFC 7009 §2.1).
#[derive(Clone, Copy)]
pub enum ClientCredentials<'a> {
    /// The access token of a superuser.
    AccessToken(&'a str),
    /// `INTROSPECTION_CLIENT_ID` and `INTROSPECTION_CLIENT_SECRET`, in each way in which the header can be decoded.
    Secret(&'a [(&'a str, &'a str)]),
}

/// Proof that a program may introspect and revoke tokens; only [`authenticate_client`] creates it.
#[derive(Debug, Clone, Copy)]
pub struct TokenClient(Option<Superuser>);

impl TokenClient {
    /// The superuser whose access token the program presented, if it did.
    pub(super) fn superuser(self) -> Option<Superuser> {
        self.0
    }

    /// Asserts that the program still has that right.
    ///
    /// # Errors
    /// [`ServiceError::InvalidAccessToken`], [`ServiceError::NotSuperuser`], [`ServiceError::Unavailable`]
    pub(super) async fn assert(self, service: &Service) -> Result<(), ServiceError> {
        let Some(superuser) = self.0 else { return Ok(()) };
        let asserted = service.store.assert_administers(superuser.administrator()).await;
        asserted.map_err(|error| superuser.explain(service, error))
    }

    /// The account whose access token the program presented, if it did.
    pub fn actor_id(self) -> Option<i64> {
        self.0.map(Superuser::user_id)
    }
}

/// Checks the credentials. Only wrong ones count against the limit, and correct ones are never limited: an attacker in the
/// same network cannot lock the client out, and its secret of at least 32 characters cannot be guessed.
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
            Ok(TokenClient(Some(require_superuser(service, bearer).await?)))
        }
        ClientCredentials::Secret(readings) => {
            let client = service.introspection_client.as_ref();
            if client.is_some_and(|client| readings.iter().any(|(id, secret)| client.matches(id, secret))) {
                return Ok(TokenClient(None));
            }
            // The attempt stays counted: it was a guess.
            let _attempt = service.limit(LimitedAction::Client, "", None, origin).await?;
            service
                .record(&AuditEvent {
                    kind: AuditKind::ClientRefused,
                    outcome: Outcome::Refused,
                    actor_id: None,
                    user_id: None,
                    session_id: None,
                    origin: Some(origin),
                    detail: json!({}),
                })
                .await?;
            Err(ServiceError::InvalidClient)
        }
    }
}
