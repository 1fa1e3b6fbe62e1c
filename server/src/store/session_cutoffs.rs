//! Ending more sessions of an account than a request can end one by one.
//!
//! A request writes one row that says until when the ended sessions began (the *cutoff*), and announces the account instead
//! of its sessions: until their revocations are in Redis, PostgreSQL answers checks of this account. Afterwards
//! [`Store::end_cut_off_sessions`] ends the sessions one by one.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::pool::{Connection, Deadlines};
use super::revocations::insert_revocations;
use super::schema_version::SERVER_APPLICATION;
use super::{RevokedSession, Store, StoreError};

/// The most sessions that a request ends one by one.
const MOST_ONE_BY_ONE: usize = 1_000;
/// One more than that.
pub(super) const ONE_MORE: i64 = 1_001;
/// The sessions that one statement ends or deletes in the background.
const BATCH: i64 = 5_000;
/// The first schema whose servers know cutoffs.
const CUTOFFS: i64 = 7;
/// The first schema whose servers delete the sessions of accounts that are gone.
const CUTOFFS_OF_DELETED: i64 = 8;

/// Ended sessions of one account, to be announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSessions {
    pub user_id: i64,
    /// Some of them, or all.
    pub sessions: Vec<RevokedSession>,
    /// Whether there are others: then the account is to be announced.
    pub has_more: bool,
}

impl EndedSessions {
    /// Those that were ended one by one.
    pub(super) fn one_by_one(user_id: i64, sessions: Vec<RevokedSession>) -> Self {
        Self { user_id, has_more: sessions.len() > MOST_ONE_BY_ONE, sessions }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && !self.has_more
    }

    /// How many there are, for the audit log.
    pub(super) fn audit_detail(&self) -> serde_json::Value {
        if self.has_more && self.sessions.is_empty() {
            json!({ "sessions_more_than": MOST_ONE_BY_ONE })
        } else {
            json!({ "sessions": self.sessions.len() })
        }
    }

    /// None, of an account whose sessions continue.
    pub(super) fn none(user_id: i64) -> Self {
        Self::one_by_one(user_id, Vec::new())
    }
}

/// SQL that excludes sessions that are over because of a cutoff; it continues a condition on `sessions`.
macro_rules! not_cut_off {
    () => {
        " AND NOT EXISTS (
              SELECT FROM session_cutoffs
              WHERE session_cutoffs.user_id = sessions.user_id AND sessions.created_at <= cutoff
                AND sessions.id IS DISTINCT FROM kept_session_id) "
    };
}
pub(super) use not_cut_off;

/// Whether more than [`MOST_ONE_BY_ONE`] sessions would be ended, and all connected servers know cutoffs.
pub(super) async fn calls_for_cutoff(
    connection: &mut Connection,
    user_id: i64,
    except: Option<Uuid>,
) -> Result<bool, StoreError> {
    let sql = concat!(
        "SELECT count(*) FROM (
             SELECT FROM sessions
             WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND ended_at IS NULL",
        not_cut_off!(),
        "LIMIT $3) AS to_end"
    );
    let query = sqlx::query_scalar(sql).bind(user_id).bind(except).bind(ONE_MORE);
    let count: i64 = query.fetch_one(&mut *connection).await?;
    Ok(count >= ONE_MORE && all_servers_know(CUTOFFS, connection).await?)
}

/// Whether more than [`MOST_ONE_BY_ONE`] sessions would be deleted with the account, ended ones included, and all connected
/// servers know how to delete them afterwards.
pub(super) async fn deletion_calls_for_cutoff(
    connection: &mut Connection,
    user_id: i64,
) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT FROM sessions WHERE user_id = $1 LIMIT $2) AS to_delete";
    let query = sqlx::query_scalar(sql).bind(user_id).bind(ONE_MORE);
    let count: i64 = query.fetch_one(&mut *connection).await?;
    Ok(count >= ONE_MORE && all_servers_know(CUTOFFS_OF_DELETED, connection).await?)
}

async fn all_servers_know(schema: i64, connection: &mut Connection) -> Result<bool, StoreError> {
    let older: bool = sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE $1 || '%'
               AND coalesce(substring(application_name FROM '/([0-9]{1,9})')::bigint, 0) < $2)",
    )
    .bind(SERVER_APPLICATION.trim_end_matches('/'))
    .bind(schema)
    .fetch_one(connection)
    .await?;
    Ok(!older)
}

/// Ends every session of an account but `except` with one row. The account's row must be locked: a login that holds it began
/// its session before, and others begin theirs after the cutoff.
pub(super) async fn cut_off(
    connection: &mut Connection,
    user_id: i64,
    except: Option<Uuid>,
) -> Result<EndedSessions, StoreError> {
    // The clock may have been set back since the last session began.
    sqlx::query(
        "INSERT INTO session_cutoffs (user_id, cutoff, kept_session_id)
         SELECT $1, greatest(
             clock_timestamp(),
             (SELECT max(created_at) FROM sessions WHERE user_id = $1 AND ended_at IS NULL)), $2
         ON CONFLICT (user_id) DO UPDATE
             SET cutoff = excluded.cutoff, kept_session_id = excluded.kept_session_id",
    )
    .bind(user_id)
    .bind(except)
    .execute(connection)
    .await?;
    Ok(EndedSessions { user_id, sessions: Vec::new(), has_more: true })
}

impl Store {
    /// The accounts with a cutoff.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn accounts_with_cutoff(&self) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar("SELECT user_id FROM session_cutoffs").fetch_all(&self.pool).await?)
    }

    /// Ends some of the sessions that are over because of a cutoff, or deletes some of an account that was deleted, and returns
    /// how many; removes a cutoff when none is left. A session that a request has locked is left for the next time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn end_cut_off_sessions(&self) -> Result<i64, StoreError> {
        let cutoffs: Vec<(i64, DateTime<Utc>)> =
            sqlx::query_as("SELECT user_id, cutoff FROM session_cutoffs").fetch_all(&self.pool).await?;
        if cutoffs.is_empty() {
            return Ok(0);
        }
        let ended: i64 = sqlx::query_scalar(concat!(
            "WITH batch AS (
                 SELECT sessions.id FROM session_cutoffs JOIN sessions USING (user_id)
                 WHERE ended_at IS NULL AND created_at <= cutoff
                   AND sessions.id IS DISTINCT FROM kept_session_id
                 LIMIT $1 FOR UPDATE OF sessions SKIP LOCKED),
             ended AS (
                 UPDATE sessions SET ended_at = now() FROM batch WHERE sessions.id = batch.id
                 RETURNING sessions.id, sessions.user_id, access_tokens_expire_at),
             revoked AS (",
            insert_revocations!("ended"),
            ")
             SELECT count(*) FROM ended"
        ))
        .bind(BATCH)
        .fetch_one(&self.pool.with(Deadlines::BULK))
        .await?;
        if ended > 0 {
            return Ok(ended);
        }
        let mut deleted = 0;
        for (user_id, cutoff) in cutoffs {
            deleted += self.delete_sessions_of_deleted(user_id).await?;
            self.remove_cutoff(user_id, cutoff).await?;
        }
        Ok(deleted)
    }

    /// Deletes some ended sessions of an account that was deleted. Their revocations stay.
    async fn delete_sessions_of_deleted(&self, user_id: i64) -> Result<i64, StoreError> {
        let done = sqlx::query(
            "DELETE FROM sessions WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM sessions
                 WHERE user_id = $1 AND ended_at IS NOT NULL AND NOT EXISTS (SELECT FROM users WHERE id = $1)
                 LIMIT $2 FOR UPDATE SKIP LOCKED))",
        )
        .bind(user_id)
        .bind(BATCH)
        .execute(&self.pool.with(Deadlines::BULK))
        .await?;
        Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX))
    }

    /// Removes this cutoff, not one that has replaced it: the sessions that began until then may not be visible to the
    /// statement.
    async fn remove_cutoff(&self, user_id: i64, cutoff: DateTime<Utc>) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM session_cutoffs
             WHERE user_id = $1 AND cutoff = $2
               AND NOT EXISTS (
                   SELECT FROM sessions
                   WHERE user_id = $1 AND ended_at IS NULL AND created_at <= $2
                     AND id IS DISTINCT FROM kept_session_id)
               AND (EXISTS (SELECT FROM users WHERE id = $1)
                    OR NOT EXISTS (SELECT FROM sessions WHERE user_id = $1))",
        )
        .bind(user_id)
        .bind(cutoff)
        .execute(&self.pool.with(Deadlines::LOCKING))
        .await?;
        Ok(())
    }
}
