//! Clients that authenticate with the token of a Kubernetes service account, and whether their pods still exist.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use latchkey_clients::ClientType;

use super::client_attempt::{Assertion, Refusal};
use super::{Service, ServiceError};
use crate::client_registry::{AuthenticatedClient, Clients, Workload};
use crate::crypto::ServiceAccountToken;
use crate::domain::{AssertionClaims, ServiceAccount};

/// Authenticates the client with the service account of this token. `claims` are those of the token.
pub(super) async fn review_workload(
    service: &Service,
    clients: &Clients,
    assertion: Assertion<'_>,
    claims: &AssertionClaims,
    now: DateTime<Utc>,
) -> Result<Result<AuthenticatedClient, Refusal>, ServiceError> {
    let Some(reviews) = &service.token_reviews else {
        return Ok(Err(Refusal::new("workload_identity_disabled")));
    };
    let (account, pod) = match claims.check_service_account(service.issuer(), now) {
        Ok(checked) => checked,
        Err(reason) => return Ok(Err(Refusal::new(reason))),
    };
    let mut found = clients.of_service_account(&account).iter().filter(|client| {
        client.client_type == ClientType::Workload
            && (assertion.client_id.is_empty() || client.client_id == assertion.client_id)
    });
    let Some(client) = found.next() else { return Ok(Err(Refusal::new("service_account"))) };
    let refuse = |reason| Ok(Err(Refusal { reason, client_id: Some(client.client_id.clone()) }));
    if found.next().is_some() {
        // The request has to name one of them.
        return refuse("client_id");
    }
    let is_of_account = |(namespace, name)| account == ServiceAccount::from((namespace, name));
    let credential =
        client.credentials.iter().find(|known| known.service_account().is_some_and(is_of_account));
    let (Some(credential), Some(expires_at)) = (credential, DateTime::from_timestamp(claims.exp, 0)) else {
        return refuse("service_account");
    };
    if credential.expires_at.is_some_and(|end| end <= now) {
        return refuse("service_account");
    }
    match reviews.review(assertion.token).await? {
        Some(reviewed) if reviewed.account == account && reviewed.pod == pod => Ok(Ok(AuthenticatedClient {
            client: Arc::clone(client),
            credential: credential.id,
            workload: Some(Workload { token: ServiceAccountToken::new(assertion.token), expires_at }),
        })),
        _ => refuse("denied"),
    }
}

/// Whether the pod and the service account still exist for which an access token was issued. `token` is what the access token
/// contains.
///
/// # Errors
/// [`ServiceError::Unavailable`] when the API server does not answer.
pub(super) async fn is_workload_present(
    service: &Service,
    (namespace, name): (&str, &str),
    token: Option<&ServiceAccountToken>,
) -> Result<bool, ServiceError> {
    let (Some(reviews), Some(token)) = (&service.token_reviews, token) else { return Ok(false) };
    let reviewed = reviews.review(token.expose()).await?;
    Ok(reviewed.is_some_and(|reviewed| reviewed.account == ServiceAccount::from((namespace, name))))
}
