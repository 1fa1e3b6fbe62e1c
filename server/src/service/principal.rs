//! Authenticating the bearer of an access token that may administer: a person, or a client with a token of its own.

use chrono::{DateTime, Utc};

use super::authenticate::{map_token_error, refuse_revoked, refuse_revoked_to_end};
use super::client_tokens::{AcceptedClientToken, accept_client_token};
use super::{Authenticated, Service, ServiceError};
use crate::crypto::{SessionToken, VerifiedToken};

/// The bearer of a valid access token.
#[derive(Debug, Clone)]
pub enum Principal {
    Person(Authenticated),
    /// A client with a token whose audience is this service.
    Client(AcceptedClientToken),
}

/// A verified token, whose revocation has been checked if it is a client's.
enum Presented {
    Person(SessionToken),
    Client(AcceptedClientToken),
}

/// Checks an access token of a person, or of a client for itself. One that a client got for the token of a person is refused,
/// whatever its audience is: it must not stand for the person here.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`]; [`ServiceError::Unavailable`] when revocation cannot be checked, never a yes.
pub async fn authenticate_principal(
    service: &Service,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Principal, ServiceError> {
    Ok(match present(service, token, now).await? {
        Presented::Person(token) => {
            refuse_revoked(service, &token).await?;
            person(&token)
        }
        Presented::Client(token) => Principal::Client(token),
    })
}

/// The same for a request that ends sessions: see [`authenticate_to_end`](super::authenticate_to_end).
///
/// # Errors
/// As [`authenticate_principal`].
pub async fn authenticate_principal_to_end(
    service: &Service,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Principal, ServiceError> {
    Ok(match present(service, token, now).await? {
        Presented::Person(token) => {
            refuse_revoked_to_end(service, &token).await?;
            person(&token)
        }
        Presented::Client(token) => Principal::Client(token),
    })
}

fn person(token: &SessionToken) -> Principal {
    Principal::Person(Authenticated { user_id: token.user_id, session_id: token.session_id })
}

async fn present(service: &Service, token: &str, now: DateTime<Utc>) -> Result<Presented, ServiceError> {
    let verified = service.tokens.verifier.verify_access(token, now);
    match verified.map_err(|error| map_token_error(error, ServiceError::InvalidAccessToken))? {
        VerifiedToken::Session(token) => Ok(Presented::Person(token)),
        VerifiedToken::Client(token) if *token.audience == *service.audience() => {
            let accepted = accept_client_token(service, token).await?;
            accepted.map(Presented::Client).ok_or(ServiceError::InvalidAccessToken)
        }
        // RFC 9068 §4: a service that a client calls with a token must not be able to use it here.
        VerifiedToken::Client(_) | VerifiedToken::Exchanged(_) => Err(ServiceError::InvalidAccessToken),
    }
}
