//! Reads of profiles, gathered: what is asked for while a query runs is answered by the next one. Every answer was
//! read after its question, so nothing is stale, and under load one query serves many requests.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use super::StoreError;
use super::pool::Pool;
use crate::telemetry::call_span;

/// The most that one query asks for.
const BATCH: usize = 256;

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

/// Asks on behalf of many. Cheap to clone; its task ends with the last clone.
#[derive(Debug, Clone)]
pub(super) struct ProfileReader(mpsc::UnboundedSender<Question>);

impl ProfileReader {
    pub(super) fn spawn(pool: Pool) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(answer_all(pool, receiver));
        Self(sender)
    }

    pub(super) async fn read(&self, user_id: i64) -> Answer {
        let (answer, answered) = oneshot::channel();
        let gone = || StoreError::Unavailable("shutting down");
        self.0.send(Question { user_id, answer }).map_err(|_| gone())?;
        // The query is run by a task of its own, for many at once.
        answered.instrument(call_span("postgresql", "SELECT users")).await.map_err(|_| gone())?
    }
}

async fn answer_all(pool: Pool, mut questions: mpsc::UnboundedReceiver<Question>) {
    let mut batch = Vec::with_capacity(BATCH);
    while questions.recv_many(&mut batch, BATCH).await > 0 {
        let ids: Vec<i64> = batch.iter().map(|question| question.user_id).collect();
        let found = fetch_profiles(&pool, &ids).await;
        for question in batch.drain(..) {
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
