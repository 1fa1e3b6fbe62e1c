//! The client of a request for a person's tokens.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use latchkey_clients::{ClientType, GrantType};

use super::authenticate_client::authenticate_registered_client;
use super::{FieldError, Service, ServiceError};
use crate::domain::{ClientId, Origin};

/// The client that a token request names.
#[derive(Clone)]
pub struct NamedClient<'a> {
    /// Its id and its secret, in each way in which they can be read, the likelier one first; empty if none is named.
    pub readings: Vec<(&'a str, &'a str)>,
    /// Whether the request has credentials in the header and in the form (RFC 6749 §2.3).
    pub is_ambiguous: bool,
}

impl NamedClient<'_> {
    /// # Errors
    /// [`ServiceError::Invalid`]
    pub(super) fn refuse_ambiguous(&self) -> Result<(), ServiceError> {
        if self.is_ambiguous {
            let fault = FieldError::new("client_secret", "is given beside the Authorization header");
            return Err(ServiceError::Invalid(vec![fault]));
        }
        Ok(())
    }
}

/// A client that may use a grant: a registered one that has authenticated if it can, or a name that nobody is registered
/// with. Only [`admit_client`] creates one with a name.
pub struct AdmittedClient(Option<ClientId>);

impl AdmittedClient {
    /// Of a request that names no client.
    pub fn none() -> Self {
        Self(None)
    }

    /// Its name.
    pub fn into_id(self) -> Option<ClientId> {
        self.0
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
    let Some((first, _)) = named.readings.first() else { return Ok(AdmittedClient::none()) };
    let clients = service.clients.clients()?;
    let mut registered = named.readings.iter().filter_map(|(id, _)| clients.find(id));
    let Some(client) = registered.next() else { return Ok(AdmittedClient(ClientId::parse(first))) };
    named.refuse_ambiguous()?;
    let client = if client.client_type == ClientType::Public {
        Arc::clone(client)
    } else {
        authenticate_registered_client(service, &named.readings, origin, now).await?.client
    };
    if !client.grant_types.contains(&grant) {
        return Err(ServiceError::UnauthorizedClient("This client may not use this grant."));
    }
    Ok(AdmittedClient(ClientId::parse(&client.client_id)))
}

/// Whether a person's token that was issued to this client may be used without authenticating the client.
///
/// # Errors
/// [`ServiceError::Unavailable`] when the registered clients are not known.
pub(super) fn may_go_without_authentication(
    service: &Service,
    client: &ClientId,
    grant: GrantType,
) -> Result<bool, ServiceError> {
    let clients = service.clients.clients()?;
    Ok(clients
        .find(client.as_str())
        .is_none_or(|client| client.client_type == ClientType::Public && client.grant_types.contains(&grant)))
}
