//! The errors of the use cases.

use std::time::Duration;

use crate::client_registry::UnknownClients;
use crate::crypto::{HashError, TokenError};
use crate::domain::Permission;
use crate::revocation::RevocationError;
use crate::store::{Conflict, StoreError};
use crate::token_review::ReviewUnavailable;

/// A field that is understood but not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Its name in the request.
    pub field: &'static str,
    /// What is wrong with it; never repeats a secret.
    pub message: String,
}

impl FieldError {
    /// What is wrong with a field.
    pub fn new(field: &'static str, message: &str) -> Self {
        Self { field, message: message.to_owned() }
    }
}

/// The ways in which a use case can fail. The HTTP layer maps each to a problem response.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Unknown account or wrong password: the response does not reveal which.
    #[error("The username or the password is wrong.")]
    InvalidCredentials,
    /// The password is correct, but the account is deactivated.
    #[error("This account is deactivated.")]
    Deactivated,
    /// The password is correct, but the address is not verified yet.
    #[error("The e-mail address is not verified yet: follow the link in the mail that was sent to it.")]
    Unverified,
    /// The password is correct, but the account is in none of the groups whose members may use the client.
    #[error("This account may not use this application.")]
    NotAllowedClient,
    /// The access token is malformed, of the wrong kind, expired or revoked.
    #[error("The access token is not valid, has expired or was revoked.")]
    InvalidAccessToken,
    /// The refresh token is malformed, expired or revoked, or belongs to another session than the access token.
    #[error("The refresh token is not valid, has expired or was revoked.")]
    InvalidRefreshToken,
    /// The client credentials are wrong.
    #[error("The client id, or the secret or assertion of the client, is wrong.")]
    InvalidClient,
    /// The client is authenticated, but may not do this.
    #[error("{0}")]
    UnauthorizedClient(&'static str),
    /// A scope was requested that the client may not have, or of a person's token none that it may have.
    #[error("A requested scope is not among those that this client may have.")]
    InvalidScope,
    /// A resource was requested for which the client gets no token.
    #[error("{0}")]
    InvalidTarget(&'static str),
    /// The token that a client wants to exchange is not valid, or was not meant for the client.
    #[error("The subject token is not valid, or this client may not exchange it.")]
    InvalidSubjectToken,
    /// The token of a link is unknown, used or expired.
    #[error("The link is not valid, was used already or has expired.")]
    InvalidOneTimeToken,
    /// The caller is authenticated, but no superuser.
    #[error("This needs a superuser.")]
    NotSuperuser,
    /// The caller is authenticated, but does not have the permission.
    #[error("This needs the permission {0}.")]
    NotPermitted(Permission),
    /// The token lacks a scope, or is a person's where a client's is needed.
    #[error("This needs an access token of a client with the scope {0}.")]
    InsufficientScope(&'static str),
    /// The caller has the permission to change accounts or groups, but not this one.
    #[error("This account or group has permissions that you do not have: a superuser can change it.")]
    HoldsMore,
    /// Self-registration is disabled.
    #[error("Registration is not open: ask the people who run this service for an account.")]
    RegistrationDisabled,
    /// Self-service deletion is disabled.
    #[error("Accounts are not deleted by their owners here: ask the people who run this service.")]
    AccountDeletionDisabled,
    /// The change would leave no superuser who can log in.
    #[error("This is the last superuser who can log in: make another one first.")]
    LastSuperuser,
    /// The resource does not exist or is not the caller's.
    #[error("There is no such thing.")]
    NotFound,
    /// A unique name is taken.
    #[error("{}", match .0 { Conflict::Username => "The username is taken.", Conflict::Email => "The e-mail address is taken.", Conflict::Group => "The name of the group is taken." })]
    Conflict(Conflict),
    /// No account has that id.
    #[error("There is no such account.")]
    UnknownAccount,
    /// No group has that name.
    #[error("There is no such group.")]
    UnknownGroup,
    /// The account is deactivated, so a link would not work.
    #[error("The account is deactivated: activate it first.")]
    AccountInactive,
    /// An account without a password needs an invitation, and e-mail is not configured.
    #[error("Without a password the owner is invited by mail, and e-mail is not enabled on this server.")]
    InvitationNeedsMail,
    /// Understood, but not valid.
    #[error("The request is not valid.")]
    Invalid(Vec<FieldError>),
    /// E-mail is not configured.
    #[error("E-mail is not enabled on this server.")]
    MailDisabled,
    /// The rate limit is exceeded.
    #[error("Too many attempts; try again later.")]
    RateLimited(Duration),
    /// The password hash pool is full.
    #[error("Too many logins at once; try again shortly.")]
    Overloaded(Duration),
    /// A dependency is down.
    #[error("The service cannot answer just now; try again shortly.")]
    Unavailable(String),
    /// A bug or a broken invariant of the server.
    #[error("Something went wrong on our side.")]
    Internal(String),
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(conflict) => Self::Conflict(conflict),
            StoreError::SessionOver => Self::InvalidAccessToken,
            StoreError::NotSuperuser => Self::NotSuperuser,
            StoreError::NotPermitted(permission) => Self::NotPermitted(permission),
            StoreError::HoldsMore => Self::HoldsMore,
            StoreError::Unavailable(_) | StoreError::ReadOnly(_) | StoreError::UnknownClients => {
                Self::Unavailable(error.to_string())
            }
            // The source names the SQL state and stays in the log.
            StoreError::Unexpected(source) => Self::Internal(format!("a query failed: {source}")),
            StoreError::InvalidUrl(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<RevocationError> for ServiceError {
    fn from(error: RevocationError) -> Self {
        error.0.into()
    }
}

impl From<UnknownClients> for ServiceError {
    fn from(error: UnknownClients) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<ReviewUnavailable> for ServiceError {
    fn from(error: ReviewUnavailable) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<HashError> for ServiceError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Overloaded(wait) => Self::Overloaded(wait),
            HashError::Failed | HashError::NoThread => Self::Internal(error.to_string()),
        }
    }
}

/// Signing failed. Verification maps its errors itself.
impl From<TokenError> for ServiceError {
    fn from(error: TokenError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
