//! Whether tokens of clients are revoked, checked for many requests at a time.

use std::sync::Arc;

use super::ServiceError;
use crate::batches::{Batches, Pending, Source};
use crate::revocation::{Revocation, Subject};
use crate::store::StoreError;
use crate::telemetry::{belongs_to_a_request, call_span};

/// One round trip to Redis answers all checks that arrived while the previous one was running. Cheap to clone.
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

    /// # Errors
    /// [`ServiceError::Unavailable`] when neither store can answer.
    pub(super) async fn is_revoked(&self, subject: Subject) -> Result<bool, ServiceError> {
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
