//! Reads of profiles, gathered: what is asked for while a query runs is answered by the next one. Every answer was
//! read after its question, so nothing is stale, and under load one query serves many requests.

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

/// The most that one query asks for.
const BATCH: usize = 256;
/// The most queries that run at once: while the database does not answer one of them, another may get a connection that
/// works.
const READERS: usize = 2;
/// How long a request waits for its profile, a query before its own included.
const PATIENCE: Duration = Duration::from_millis(2_250);

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

/// Asks on behalf of many. Cheap to clone.
#[derive(Clone)]
pub(super) struct ProfileReader(Arc<Inner>);

struct Inner {
    pool: Pool,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    questions: Vec<Question>,
    /// The tasks that answer them.
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
        // The query is run by a task of its own, for many at once.
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

    /// Whether the caller has to start a reader, which is counted already.
    fn enqueue(&self, question: Question) -> bool {
        let mut queue = self.queue();
        queue.questions.push(question);
        let starts = queue.readers < READERS;
        queue.readers += usize::from(starts);
        starts
    }
}

/// One task that answers questions. It is counted until it is dropped, also by a panic, so that the next question starts
/// another one.
struct Reader {
    inner: Arc<Inner>,
    is_counted: bool,
}

impl Reader {
    /// The next questions; none when this reader is to end. It is not counted from then on, so that a question that comes
    /// later starts another one.
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
            // Who does not wait any more needs no answer.
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
