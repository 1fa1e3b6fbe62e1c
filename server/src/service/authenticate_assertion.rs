//! Authenticating a registered client by an assertion (RFC 7521 §4.2): one that it signed with its own key
//! (`private_key_jwt`, RFC 7523), or the token of a Kubernetes service account.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use latchkey_clients::{Client, Credential, PublicKey};
use serde_json::{Map, Value};

use super::client_attempt::{Assertion, Refusal, refuse_guess};
use super::workloads::review_workload;
use super::{Service, ServiceError};
use crate::client_registry::{AuthenticatedClient, Clients};
use crate::crypto::{UnverifiedAssertion, assertion_id};
use crate::domain::Origin;

/// The path of the token endpoint below the issuer.
const TOKEN_PATH: &str = "/api/v1/auth/token";

/// Checks an assertion. As with secrets, only refused ones count against the limit, and accepted ones are never limited.
///
/// # Errors
/// [`ServiceError::InvalidClient`], [`ServiceError::RateLimited`]; [`ServiceError::Unavailable`] when it cannot be checked.
pub(super) async fn authenticate_by_assertion(
    service: &Service,
    assertion: Assertion<'_>,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<AuthenticatedClient, ServiceError> {
    let clients = service.clients.clients()?;
    let checked = match UnverifiedAssertion::read(assertion.token) {
        None => Err(Refusal::new("malformed")),
        Some(read) if read.claims.kubernetes.is_some() => {
            review_workload(service, &clients, assertion, &read.claims, now).await?
        }
        Some(read) => check_signed(service, &clients, assertion.client_id, &read, now).await?,
    };
    match checked {
        Ok(authenticated) => Ok(authenticated),
        Err(Refusal { reason, client_id }) => {
            let mut detail = Map::from_iter([("reason".to_owned(), Value::from(reason))]);
            detail.extend(client_id.map(|id| ("client_id".to_owned(), Value::from(id))));
            Err(refuse_guess(service, detail.into(), origin).await?)
        }
    }
}

/// Checks an assertion that the client signed.
async fn check_signed(
    service: &Service,
    clients: &Clients,
    named: &str,
    assertion: &UnverifiedAssertion<'_>,
    now: DateTime<Utc>,
) -> Result<Result<AuthenticatedClient, Refusal>, ServiceError> {
    let Some(client) = clients.find(&assertion.claims.sub) else { return Ok(Err(Refusal::new("sub"))) };
    let refuse = |reason| Ok(Err(Refusal { reason, client_id: Some(client.client_id.clone()) }));
    // RFC 7521 §4.2
    if !named.is_empty() && named != client.client_id {
        return refuse("client_id");
    }
    let Some((credential, key)) = find_key(client, assertion.kid.as_deref(), now) else {
        return refuse("kid");
    };
    if !assertion.is_signed_by(key) {
        return refuse("signature");
    }
    let issuer = service.issuer();
    let token_endpoint = format!("{issuer}{TOKEN_PATH}");
    let (jti, until) = match assertion.claims.check(&client.client_id, &[issuer, &token_endpoint], now) {
        Ok(checked) => checked,
        Err(claim) => return refuse(claim),
    };
    // Last, so that nobody but the client can use its assertions up.
    if !service.store.use_client_assertion(assertion_id(&client.client_id, jti), until).await? {
        return refuse("replayed");
    }
    Ok(Ok(AuthenticatedClient { client: Arc::clone(client), credential: credential.id, workload: None }))
}

/// The key with this id, or the only key of the client.
fn find_key<'a>(
    client: &'a Client,
    kid: Option<&str>,
    now: DateTime<Utc>,
) -> Option<(&'a Credential, &'a PublicKey)> {
    let is_in_force =
        |credential: &Credential| credential.expires_at.is_none_or(|expires_at| now < expires_at);
    let mut keys = client
        .credentials
        .iter()
        .filter(|credential| is_in_force(credential))
        .filter_map(|credential| Some((credential, credential.key()?)));
    match kid {
        // A key without an id is the only one.
        Some(kid) => keys.find(|(_, key)| key.kid.as_deref().is_none_or(|known| known == kid)),
        None => keys.next().filter(|_| keys.next().is_none()),
    }
}
