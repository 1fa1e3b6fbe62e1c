//! Batched reads of profiles: one query answers many requests.

use std::collections::HashMap;
use std::fmt;

use tracing::Instrument as _;

use super::StoreError;
use super::pool::Pool;
use crate::batches::{Batches, Pending, Source, Unanswered};
use crate::telemetry::call_span;

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

/// Reads profiles for many requests at a time. Cheap to clone.
#[derive(Clone)]
pub(super) struct ProfileReader(Batches<Pool>);

impl ProfileReader {
    pub(super) fn new(pool: Pool) -> Self {
        Self(Batches::new(pool))
    }

    pub(super) async fn read(&self, user_id: i64) -> Answer {
        // The query runs in a task that serves many requests.
        self.0.ask(user_id).instrument(call_span("postgresql", "SELECT users")).await?
    }
}

impl fmt::Debug for ProfileReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfileReader").finish_non_exhaustive()
    }
}

impl Source for Pool {
    type Question = i64;
    type Answer = Answer;

    async fn answer(&self, batch: Vec<Pending<i64, Answer>>) {
        let ids: Vec<i64> = batch.iter().map(|pending| pending.question).collect();
        let found = fetch_profiles(self, &ids).await;
        for pending in batch {
            let answer = found.as_ref().map(|profiles| profiles.get(&pending.question).cloned());
            pending.answer(answer.map_err(Clone::clone));
        }
    }
}

impl From<Unanswered> for StoreError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Ended => Self::Unavailable("the task that reads profiles ended"),
            Unanswered::Late => Self::Unavailable("it did not answer within the time limit"),
        }
    }
}

/// The accounts with these ids, by id.
pub(super) async fn fetch_profiles(pool: &Pool, ids: &[i64]) -> Result<HashMap<i64, Profile>, StoreError> {
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
