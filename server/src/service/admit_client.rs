//! The client of a request for a person's tokens.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use latchkey_clients::{Client, ClientType, GrantType};

use super::authenticate_assertion::authenticate_by_assertion;
use super::authenticate_client::authenticate_registered_client;
use super::client_attempt::Assertion;
use super::{FieldError, Service, ServiceError};
use crate::client_registry::AuthenticatedClient;
use crate::domain::{ClientId, Origin};

/// The client that a token request names.
#[derive(Clone)]
pub struct NamedClient<'a> {
    /// Its id and its secret, in each way in which they can be read, the likelier one first; empty if none is named.
    pub readings: Vec<(&'a str, &'a str)>,
    /// What it authenticates with instead of a secret.
    pub assertion: Option<Assertion<'a>>,
    /// Whether the request has credentials in the header and in the form, or two kinds of them (RFC 6749 §2.3).
    pub is_ambiguous: bool,
}

impl NamedClient<'_> {
    /// # Errors
    /// [`ServiceError::Invalid`]
    pub(super) fn refuse_ambiguous(&self) -> Result<(), ServiceError> {
        if self.is_ambiguous {
            let fault = if self.assertion.is_some() {
                FieldError::new("client_assertion", "is given beside other credentials of the client")
            } else {
                FieldError::new("client_secret", "is given beside the Authorization header")
            };
            return Err(ServiceError::Invalid(vec![fault]));
        }
        Ok(())
    }

    /// Authenticates the client as a registered one.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::InvalidClient`], [`ServiceError::RateLimited`],
    /// [`ServiceError::Unavailable`]
    pub(super) async fn authenticate(
        &self,
        service: &Service,
        origin: &Origin,
        now: DateTime<Utc>,
    ) -> Result<AuthenticatedClient, ServiceError> {
        self.refuse_ambiguous()?;
        match self.assertion {
            Some(assertion) => authenticate_by_assertion(service, assertion, origin, now).await,
            None => authenticate_registered_client(service, &self.readings, origin, now).await,
        }
    }
}

/// A client that may use a grant: a registered one that has authenticated if it can, or a name that nobody is registered
/// with. Only this module creates one with a name.
#[derive(Default)]
pub struct AdmittedClient {
    id: Option<ClientId>,
    registered: Option<Arc<Client>>,
}

impl AdmittedClient {
    /// Of a request that names no client.
    pub fn none() -> Self {
        Self::default()
    }

    /// Its name.
    pub fn id(&self) -> Option<&ClientId> {
        self.id.as_ref()
    }

    /// The client, if it is registered.
    pub(super) fn registered(&self) -> Option<&Client> {
        self.registered.as_deref()
    }

    /// Whether it is registered for refreshing tokens, so that it gets a refresh token at a login.
    pub fn is_registered_to_refresh(&self) -> bool {
        self.registered().is_some_and(|client| client.grant_types.contains(&GrantType::RefreshToken))
    }

    fn of(id: &str, registered: Option<&Arc<Client>>) -> Self {
        Self { id: ClientId::parse(id), registered: registered.cloned() }
    }
}

/// Admits the client of a request for a person's tokens. An unregistered one is a name, which nobody has checked.
///
/// # Errors
/// [`ServiceError::InvalidClient`], [`ServiceError::RateLimited`] for a registered client that does not authenticate;
/// [`ServiceError::UnauthorizedClient`] for one that may not use the grant.
pub async fn admit_client(
    service: &Service,
    named: NamedClient<'_>,
    grant: GrantType,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<AdmittedClient, ServiceError> {
    let client = if named.assertion.is_some() {
        named.authenticate(service, origin, now).await?.client
    } else {
        let Some((first, _)) = named.readings.first() else { return Ok(AdmittedClient::none()) };
        let clients = service.clients.clients()?;
        let mut registered = named.readings.iter().filter_map(|(id, _)| clients.find(id));
        let Some(client) = registered.next() else { return Ok(AdmittedClient::of(first, None)) };
        named.refuse_ambiguous()?;
        if client.client_type == ClientType::Public {
            Arc::clone(client)
        } else {
            named.authenticate(service, origin, now).await?.client
        }
    };
    if !client.grant_types.contains(&grant) {
        return Err(ServiceError::UnauthorizedClient("This client may not use this grant."));
    }
    Ok(AdmittedClient::of(&client.client_id, Some(&client)))
}

/// The client that a person's token was issued to; `None` if the token must not be used without authenticating the client.
///
/// # Errors
/// [`ServiceError::Unavailable`] when the registered clients are not known.
pub(super) fn admit_without_authentication(
    service: &Service,
    client: &ClientId,
    grant: GrantType,
) -> Result<Option<AdmittedClient>, ServiceError> {
    let clients = service.clients.clients()?;
    let registered = clients.find(client.as_str());
    let is_admitted = registered
        .is_none_or(|client| client.client_type == ClientType::Public && client.grant_types.contains(&grant));
    Ok(is_admitted.then(|| AdmittedClient::of(client.as_str(), registered)))
}
