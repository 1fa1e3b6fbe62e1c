//! The account of a token and whether the token is revoked, read for many requests at a time: one round trip to Redis and
//! one to PostgreSQL, at the same time, answer all of them.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use tokio::time::timeout_at;

use super::ServiceError;
use crate::batches::{Batches, Pending, Source, Unanswered};
use crate::crypto::SessionToken;
use crate::revocation::{Revocation, RevocationError, Subject};
use crate::store::{Profile, Store, StoreError};
use crate::telemetry::{belongs_to_a_request, call_span};

/// A revocation check that is older than this once the account has been read is repeated.
const CHECK_STANDS_FOR: Duration = Duration::from_millis(250);

/// The deadline of all questions of a request together: each answer of PostgreSQL may be almost too late for its own.
const DEADLINE: Duration = Duration::from_millis(2_500);

/// Reads accounts of tokens. Cheap to clone.
#[derive(Clone)]
pub(super) struct AccountReader {
    batches: Batches<Stores>,
    revocation: Arc<Revocation>,
}

#[derive(Clone, Copy)]
struct Question {
    user_id: i64,
    subject: Subject,
}

/// `None`: PostgreSQL has to be asked whether the token is revoked.
type Answer = (Option<bool>, Result<Option<Profile>, StoreError>);

struct Stores {
    store: Store,
    revocation: Arc<Revocation>,
}

impl AccountReader {
    pub(super) fn new(store: Store, revocation: Arc<Revocation>) -> Self {
        let stores = Stores { store, revocation: Arc::clone(&revocation) };
        Self { batches: Batches::new(stores), revocation }
    }

    /// The active account of a verified token that is not revoked; `None` when it is revoked, or its account is gone or
    /// deactivated. If reading the account had to wait, revocation is checked again, so that no response is sent long after
    /// a logout. Ordinarily one check suffices; applications call this with every request of their own.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] when either check is impossible: the token is then never accepted.
    pub(super) async fn read(&self, token: &SessionToken) -> Result<Option<Profile>, ServiceError> {
        let subject = Subject::session(token.user_id, token.session_id, token.issued_at);
        self.read_of(token.user_id, subject).await
    }

    /// The same for a token that belongs to a session, whatever its content is. `subject` is that session.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) async fn read_of(
        &self,
        user_id: i64,
        subject: Subject,
    ) -> Result<Option<Profile>, ServiceError> {
        let asked_at = Instant::now();
        let (revoked, profile) = self.ask(Question { user_id, subject }).await?;
        if revoked == Some(true) {
            return Ok(None);
        }
        // Before PostgreSQL is asked about the revocation, so that a request waits for a silent database only once.
        let profile = profile?.filter(|profile| profile.is_active);
        let checked =
            timeout_at((asked_at + DEADLINE).into(), self.check_again(subject, revoked, asked_at)).await;
        let is_revoked = checked.map_err(|_| StoreError::from(Unanswered::Late))??;
        Ok(if is_revoked { None } else { profile })
    }

    /// Whether the token is revoked, if the first answer did not say so or was read too long ago.
    async fn check_again(
        &self,
        subject: Subject,
        revoked: Option<bool>,
        asked_at: Instant,
    ) -> Result<bool, RevocationError> {
        Ok((revoked.is_none() && self.revocation.is_over(subject).await?)
            || (asked_at.elapsed() > CHECK_STANDS_FOR && self.revocation.is_revoked(subject).await?))
    }

    async fn ask(&self, question: Question) -> Result<Answer, StoreError> {
        // The commands run in a task that serves many requests.
        let _spans = belongs_to_a_request()
            .then(|| (call_span("redis", "MGET"), call_span("postgresql", "SELECT users")));
        Ok(self.batches.ask(question).await?)
    }
}

impl Source for Stores {
    type Question = Question;
    type Answer = Answer;

    async fn answer(&self, mut batch: Vec<Pending<Question, Answer>>) {
        let subjects: Vec<_> = batch.iter().map(|pending| pending.question.subject).collect();
        let ids: Vec<_> = batch.iter().map(|pending| pending.question.user_id).collect();
        let checks = pin!(self.revocation.ask_redis_for_all(&subjects));
        let profiles = pin!(self.store.find_profiles(&ids));
        let (mut checks, profiles) = match select(checks, profiles).await {
            Either::Right((profiles, checks)) => (checks.await, profiles),
            Either::Left((checks, profiles)) => {
                // A revoked token is refused even while the database is silent.
                let (revoked, rest): (Vec<_>, Vec<_>) =
                    batch.into_iter().zip(checks).partition(|(_, check)| *check == Some(true));
                for (pending, check) in revoked {
                    pending.answer((check, Ok(None)));
                }
                let checks;
                (batch, checks) = rest.into_iter().unzip();
                (checks, profiles.await)
            }
        };
        for (pending, check) in batch.into_iter().zip(checks.drain(..)) {
            let id = pending.question.user_id;
            let profile = profiles.as_ref().map(|profiles| profiles.get(&id).cloned());
            pending.answer((check, profile.map_err(Clone::clone)));
        }
    }
}
