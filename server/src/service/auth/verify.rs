//! Finding out for a reverse proxy whose an access token is.

use chrono::{DateTime, Utc};

use crate::crypto::{SessionToken, VerifiedToken};
use crate::service::authenticate::map_token_error;
use crate::service::client_tokens::{AcceptedClientToken, accept_client_token};
use crate::service::exchanged_tokens::{AcceptedExchangedToken, accept_exchanged_token};
use crate::service::{Service, ServiceError};
use crate::store::Profile;

/// Whose a token is.
pub enum Identity {
    /// A person's, with the client that it was issued to, by the name that the client gave itself, its scopes and groups.
    Person { profile: Profile, token: SessionToken },
    /// A client's own.
    Client(AcceptedClientToken),
    /// A client's, which it got for the token of another.
    Exchanged(AcceptedExchangedToken),
}

/// Identifies the bearer of an access token for this service.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`], also when the account is gone or deactivated, or the token is for another audience;
/// [`ServiceError::Unavailable`] when the token cannot be checked: it is then never accepted.
pub async fn identify_bearer(
    service: &Service,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Identity, ServiceError> {
    let verified = service.tokens.verifier.verify_access(token, now);
    match verified.map_err(|error| map_token_error(error, ServiceError::InvalidAccessToken))? {
        VerifiedToken::Session(token) => {
            let profile = service.accounts.read(&token).await?;
            let profile = profile.ok_or(ServiceError::InvalidAccessToken)?;
            Ok(Identity::Person { profile, token })
        }
        VerifiedToken::Client(token) => {
            // RFC 9068 §4: a service that a client calls with a token must not be able to use it at another one.
            if *token.audience != *service.audience() {
                return Err(ServiceError::InvalidAccessToken);
            }
            let accepted = accept_client_token(service, token).await?;
            accepted.map(Identity::Client).ok_or(ServiceError::InvalidAccessToken)
        }
        VerifiedToken::Exchanged(token) => {
            if *token.audience != *service.audience() {
                return Err(ServiceError::InvalidAccessToken);
            }
            let accepted = accept_exchanged_token(service, token).await?;
            accepted.map(Identity::Exchanged).ok_or(ServiceError::InvalidAccessToken)
        }
    }
}
