//! Batched reads of profiles: one query answers all requests that arrived while the previous ones were running. The query
//! starts after its requests, so no answer is stale.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::StoreError;
use super::pool::Pool;
use crate::telemetry::call_span;

/// The maximum number of accounts in one query.
const BATCH: usize = 256;
/// The maximum number of concurrent queries. While one connection is silent, another query may get one that works.
const READERS: usize = 2;
/// How long a request waits for its profile, which includes the wait for the queries before its own.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// The profile that `/me` answers.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Profile {
    pub id: i64,
    /// Its name as it was given.
    pub username: String,
    /// Its address as it was given.
    pub email: String,
    /// The person's name.
    pub name: String,
    /// Whether it may administer accounts.
    pub is_superuser: bool,
    /// Whether it may log in.
    pub is_active: bool,
}

type Answer = Result<Option<Profile>, StoreError>;

struct Question {
    user_id: i64,
    answer: oneshot::Sender<Answer>,
}

/// Reads profiles for many requests at a time. Cheap to clone.
#[derive(Clone)]
pub(super) struct ProfileReader(Arc<Inner>);

struct Inner {
    pool: Pool,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    questions: Vec<Question>,
    /// The number of running [`Reader`]s.
    readers: usize,
}

impl ProfileReader {
    pub(super) fn new(pool: Pool) -> Self {
        Self(Arc::new(Inner { pool, queue: Mutex::default() }))
    }

    pub(super) async fn read(&self, user_id: i64) -> Answer {
        let (answer, answered) = oneshot::channel();
        if self.0.enqueue(Question { user_id, answer }) {
            tokio::spawn(answer_all(Reader { inner: Arc::clone(&self.0), is_counted: true }));
        }
        // The query runs in a task that serves many requests.
        let span = call_span("postgresql", "SELECT users");
        match timeout(PATIENCE, answered.instrument(span)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Unavailable("the task that reads profiles ended")),
            Err(_) => Err(StoreError::Unavailable("it did not answer within the time limit")),
        }
    }
}

impl fmt::Debug for ProfileReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfileReader").finish_non_exhaustive()
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a question. Returns whether the caller has to start a reader, which is already counted.
    fn enqueue(&self, question: Question) -> bool {
        let mut queue = self.queue();
        queue.questions.push(question);
        let starts = queue.readers < READERS;
        queue.readers += usize::from(starts);
        starts
    }
}

/// A task that answers questions. Dropping it decrements the count even after a panic, so that the next question starts
/// another reader.
struct Reader {
    inner: Arc<Inner>,
    is_counted: bool,
}

impl Reader {
    /// Returns the next questions, or none if the reader has to end. It is not counted from then on, so that a later
    /// question starts another reader.
    fn next_batch(&mut self) -> Vec<Question> {
        let mut queue = self.inner.queue();
        let count = queue.questions.len().min(BATCH);
        if count == 0 {
            queue.readers -= 1;
            self.is_counted = false;
        }
        queue.questions.drain(..count).collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.is_counted {
            self.inner.queue().readers -= 1;
        }
    }
}

async fn answer_all(mut reader: Reader) {
    loop {
        let batch = reader.next_batch();
        if batch.is_empty() {
            return;
        }
        let ids: Vec<i64> = batch.iter().map(|question| question.user_id).collect();
        let found = fetch_profiles(&reader.inner.pool, &ids).await;
        for question in batch {
            let answer = found.as_ref().map(|profiles| profiles.get(&question.user_id).cloned());
            // The receiver of a cancelled request is gone.
            let _ = question.answer.send(answer.map_err(Clone::clone));
        }
    }
}

async fn fetch_profiles(pool: &Pool, ids: &[i64]) -> Result<HashMap<i64, Profile>, StoreError> {
    let found: Vec<Found> = sqlx::query_as(
        "SELECT id, username, email, name, is_superuser, is_active, pg_is_in_recovery() AS is_stale
         FROM users WHERE id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(pool)
    .await?;
    if found.iter().any(|found| found.is_stale) {
        return Err(StoreError::found_standby());
    }
    Ok(found.into_iter().map(|Found { profile, .. }| (profile.id, profile)).collect())
}

#[derive(sqlx::FromRow)]
struct Found {
    #[sqlx(flatten)]
    profile: Profile,
    /// Read from a standby, by a connection that led to the primary when it was tested. Tokens are judged by profiles, so
    /// that not even the moment until the next test may pass unseen.
    is_stale: bool,
}
