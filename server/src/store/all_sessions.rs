//! Ending every session there is, after a backup was restored.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::audit::insert_event;
use super::pool::Deadlines;
use super::revocations::insert_revocations;
use super::{Store, StoreError};
use crate::domain::clock::KEPT_AFTER_EXPIRY;
use crate::domain::{AuditEvent, AuditKind, Outcome};

/// So many sessions are ended at once, so that none is locked for long.
const BATCH: i64 = 5_000;
/// How long is waited for those who have locked a session.
const PAUSE: Duration = Duration::from_millis(50);

impl Store {
    /// Declares every token void that was issued until now, and records it. Gives the time from which they are
    /// valid: tokens know whole seconds only, so it is the next one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn void_all_tokens(&self) -> Result<DateTime<Utc>, StoreError> {
        let mut transaction = self.pool.with(Deadlines::BULK).begin().await?;
        let from: DateTime<Utc> = sqlx::query_scalar(
            "UPDATE revocation_state
             SET tokens_valid_from = date_trunc('second', clock_timestamp()) + interval '1 second'
             RETURNING tokens_valid_from",
        )
        .fetch_one(&mut *transaction)
        .await?;
        let event = AuditEvent {
            kind: AuditKind::UserSessionsEnded,
            outcome: Outcome::Success,
            actor_id: None,
            user_id: None,
            session_id: None,
            origin: None,
            detail: json!({ "accounts": "all" }),
        };
        insert_event(&mut transaction, &event).await?;
        transaction.commit().await?;
        Ok(from)
    }

    /// Ends every session that began before `until`, and says how many. Those that were used a
    /// short while ago are revoked one by one as well: a replica's clock may be ahead, and its tokens then look newer than `until`. Of all
    /// others [`Store::void_all_tokens`] has taken care, and Redis need not hold them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer; what was ended stays ended.
    pub async fn end_sessions_before(&self, until: DateTime<Utc>) -> Result<i64, StoreError> {
        let mut total = 0;
        while self.has_sessions_before(until).await? {
            let ended = self.end_unlocked_sessions_before(until).await?;
            total += ended;
            if ended == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(total)
    }

    async fn has_sessions_before(&self, until: DateTime<Utc>) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT FROM sessions WHERE ended_at IS NULL AND created_at < $1)";
        Ok(sqlx::query_scalar(sql).bind(until).fetch_one(&self.pool.with(Deadlines::BULK)).await?)
    }

    /// Passes over sessions that others have locked: whoever acts in one session may wait for another, which this
    /// would hold.
    async fn end_unlocked_sessions_before(&self, until: DateTime<Utc>) -> Result<i64, StoreError> {
        let (mut total, mut from_user) = (0, i64::MIN);
        loop {
            let (count, last_user): (i64, Option<i64>) = sqlx::query_as(concat!(
                "WITH batch AS (
                     SELECT id FROM sessions
                     WHERE ended_at IS NULL AND created_at < $1 AND user_id >= $2
                     ORDER BY user_id LIMIT $3 FOR UPDATE SKIP LOCKED),
                 ended AS (
                     UPDATE sessions SET ended_at = now() FROM batch WHERE sessions.id = batch.id
                     RETURNING sessions.id, user_id, access_tokens_expire_at,
                               greatest(created_at, last_used_at) > now() - $4 AS recent),
                 revoked AS (",
                insert_revocations!("ended WHERE recent"),
                ")
                 SELECT count(*), max(user_id) FROM ended"
            ))
            .bind(until)
            .bind(from_user)
            .bind(BATCH)
            .bind(KEPT_AFTER_EXPIRY)
            .fetch_one(&self.pool.with(Deadlines::BULK))
            .await?;
            let Some(last_user) = last_user else { return Ok(total) };
            total += count;
            from_user = last_user;
        }
    }
}
