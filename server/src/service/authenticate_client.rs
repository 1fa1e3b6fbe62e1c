//! Which program asks about a token.

use chrono::{DateTime, Utc};

use super::{Service, ServiceError, Superuser, authenticate, require_superuser};

/// What a program shows (RFC 7662 §2.1, RFC 7009 §2.1).
#[derive(Clone, Copy)]
pub enum ClientCredentials<'a> {
    /// The access token of a superuser.
    AccessToken(&'a str),
    /// `INTROSPECTION_CLIENT_ID` and `INTROSPECTION_CLIENT_SECRET`.
    Secret {
        /// The id.
        id: &'a str,
        /// The secret.
        secret: &'a str,
    },
}

/// Proof that a program may introspect and revoke tokens; only [`authenticate_client`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct TokenClient(Option<Superuser>);

impl TokenClient {
    /// The account behind it, if it came with one's access token.
    pub fn actor_id(self) -> Option<i64> {
        self.0.map(Superuser::user_id)
    }
}

/// Checks the credentials.
///
/// # Errors
/// [`ServiceError::InvalidClient`]; for an access token those of [`authenticate`] and [`require_superuser`].
pub async fn authenticate_client(
    service: &Service,
    credentials: ClientCredentials<'_>,
    now: DateTime<Utc>,
) -> Result<TokenClient, ServiceError> {
    match credentials {
        ClientCredentials::AccessToken(token) => {
            let bearer = authenticate(service, token, now).await?;
            Ok(TokenClient(Some(require_superuser(service, bearer).await?)))
        }
        ClientCredentials::Secret { id, secret } => match &service.introspection_client {
            Some(client) if client.matches(id, secret) => Ok(TokenClient(None)),
            _ => Err(ServiceError::InvalidClient),
        },
    }
}
