//! Accepting access tokens of clients. Every use of one goes through [`accept_client_token`].

use std::sync::Arc;

use super::{Service, ServiceError};
use crate::batches::{Batches, Pending, Source};
use crate::crypto::ClientToken;
use crate::revocation::{Revocation, Subject};
use crate::store::StoreError;
use crate::telemetry::{belongs_to_a_request, call_span};

/// A token that was accepted: its client is registered with the credential, and the token is not revoked. Only
/// [`accept_client_token`] creates it.
#[derive(Debug, Clone)]
pub struct AcceptedClientToken(ClientToken);

impl AcceptedClientToken {
    pub fn claims(&self) -> &ClientToken {
        &self.0
    }
}

/// Accepts a verified token, unless its client or its credential was removed from the registry or it was revoked. The caller
/// checks the expiry and the audience.
///
/// # Errors
/// [`ServiceError::Unavailable`] when either cannot be determined: the token is then never accepted.
pub(super) async fn accept_client_token(
    service: &Service,
    token: ClientToken,
) -> Result<Option<AcceptedClientToken>, ServiceError> {
    let is_registered = || -> Result<bool, ServiceError> {
        Ok(service.clients.clients()?.has_credential(token.client.as_str(), token.credential))
    };
    if !is_registered()? {
        return Ok(None);
    }
    let subject = Subject::client_token(token.jti, token.issued_at);
    if service.client_token_checks.is_revoked(subject).await? {
        return Ok(None);
    }
    // Asked again, since another registry may have been loaded during the wait.
    Ok(is_registered()?.then_some(AcceptedClientToken(token)))
}

/// Checks revocations for many requests at a time: one round trip to Redis answers all of them. Cheap to clone.
#[derive(Clone)]
pub(super) struct ClientTokenChecks {
    batches: Batches<Checks>,
    revocation: Arc<Revocation>,
}

struct Checks(Arc<Revocation>);

impl ClientTokenChecks {
    pub(super) fn new(revocation: Arc<Revocation>) -> Self {
        Self { batches: Batches::new(Checks(Arc::clone(&revocation))), revocation }
    }

    async fn is_revoked(&self, subject: Subject) -> Result<bool, ServiceError> {
        // The command runs in a task that serves many requests.
        let _span = belongs_to_a_request().then(|| call_span("redis", "MGET"));
        match self.batches.ask(subject).await.map_err(StoreError::from)? {
            Some(answer) => Ok(answer),
            None => Ok(self.revocation.is_over(subject).await?),
        }
    }
}

impl Source for Checks {
    type Question = Subject;
    /// `None`: PostgreSQL has to be asked.
    type Answer = Option<bool>;

    async fn answer(&self, batch: Vec<Pending<Subject, Option<bool>>>) {
        let subjects: Vec<_> = batch.iter().map(|pending| pending.question).collect();
        let checks = self.0.ask_redis_for_all(&subjects).await;
        for (pending, check) in batch.into_iter().zip(checks) {
            pending.answer(check);
        }
    }
}
