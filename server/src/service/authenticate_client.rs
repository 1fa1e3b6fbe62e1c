//! Which program asks about a token.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{LimitedAction, Service, ServiceError, Superuser, authenticate, require_superuser};
use crate::domain::{AuditEvent, AuditKind, Origin, Outcome};

/// What a program shows (RFC 7662 §2.1, RFC 7009 §2.1).
#[derive(Clone, Copy)]
pub enum ClientCredentials<'a> {
    /// The access token of a superuser.
    AccessToken(&'a str),
    /// `INTROSPECTION_CLIENT_ID` and `INTROSPECTION_CLIENT_SECRET`, in each way in which they can be read.
    Secret(&'a [(&'a str, &'a str)]),
}

/// Proof that a program may introspect and revoke tokens; only [`authenticate_client`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct TokenClient(Option<Superuser>);

impl TokenClient {
    /// The superuser behind it, if it came with one's access token.
    pub(super) fn superuser(self) -> Option<Superuser> {
        self.0
    }

    /// Asserts that who asked may still ask.
    ///
    /// # Errors
    /// [`ServiceError::InvalidAccessToken`], [`ServiceError::NotSuperuser`], [`ServiceError::Unavailable`]
    pub(super) async fn assert(self, service: &Service) -> Result<(), ServiceError> {
        let Some(superuser) = self.0 else { return Ok(()) };
        let asserted = service.store.assert_administers(superuser.administrator()).await;
        asserted.map_err(|error| superuser.explain(service, error))
    }

    /// The account behind it, if it came with one's access token.
    pub fn actor_id(self) -> Option<i64> {
        self.0.map(Superuser::user_id)
    }
}

/// Checks the credentials. Only what is wrong counts against the limit, and what is right is never held up by it: an
/// attacker in the same network cannot lock the client out, and its secret cannot be guessed (32 characters at least).
///
/// # Errors
/// [`ServiceError::InvalidClient`], [`ServiceError::RateLimited`]; for an access token those of [`authenticate`] and
/// [`require_superuser`].
pub async fn authenticate_client(
    service: &Service,
    credentials: ClientCredentials<'_>,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<TokenClient, ServiceError> {
    match credentials {
        ClientCredentials::AccessToken(token) => {
            let bearer = authenticate(service, token, now).await?;
            Ok(TokenClient(Some(require_superuser(service, bearer).await?)))
        }
        ClientCredentials::Secret(readings) => {
            let client = service.introspection_client.as_ref();
            if client.is_some_and(|client| readings.iter().any(|(id, secret)| client.matches(id, secret))) {
                return Ok(TokenClient(None));
            }
            // Kept: it was a guess.
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
