//! Revocations, and which Redis may be trusted to know them (docs/decisions/0002).

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use latchkey_protocol::record::Record;
use uuid::Uuid;

use super::pool::{Connection, Deadlines, Transaction};
use super::{Store, StoreError};
use crate::domain::clock::KEPT_AFTER_EXPIRY;

/// A session whose access tokens are no longer accepted.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RevokedSession {
    /// `sid` of the tokens.
    pub session_id: Uuid,
    /// When the last of them expires by itself.
    pub expires_at: DateTime<Utc>,
}

/// The one row of `revocation_state`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RevocationState {
    /// The epoch of the trusted copy; `None` while no Redis is trusted.
    pub redis_epoch: Option<String>,
    /// The epoch of the copy that a refill is making.
    pub filling: Option<String>,
    /// When `redis_epoch` last changed.
    pub changed_at: DateTime<Utc>,
    /// Tokens issued before are of a database that is no more.
    pub tokens_valid_from: DateTime<Utc>,
    /// Made with the database; a copy of the database has the same.
    pub service_id: Uuid,
    pub database_name: String,
    /// The database's clock when it answered.
    pub database_time: DateTime<Utc>,
    /// When the database server was started, which tells it from one that takes over.
    pub server_started_at: DateTime<Utc>,
    /// The transactions that had ended, as `pg_current_snapshot` returns them.
    pub snapshot: String,
}

impl RevocationState {
    /// What decides which Redis may be trusted.
    pub fn record(&self) -> Record {
        Record {
            trusted: self.redis_epoch.as_deref().map(Arc::from),
            candidate: self.filling.as_deref().map(Arc::from),
            changed_at: self.changed_at,
        }
    }
}

/// What a sweep has seen: every revocation of a transaction before `oldest_running` had been committed or rolled back, as
/// long as it is the same database on the same server.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SweepCursor {
    pub service_id: Uuid,
    /// The server: one that takes over after a failover may use the same transaction ids again.
    pub server_started_at: DateTime<Utc>,
    /// The oldest transaction that was still running.
    pub oldest_running: i64,
}

impl SweepCursor {
    /// The first transaction that this cursor does not cover when the database is now at `now`; `None` when it says
    /// nothing about that database.
    pub fn next_transaction(&self, now: &Self) -> Option<i64> {
        let same = self.service_id == now.service_id && self.server_started_at == now.server_started_at;
        (same && self.oldest_running <= now.oldest_running).then_some(self.oldest_running)
    }
}

/// SQL that records the revocation of the sessions in `$ended`, which have `id`, `user_id` and `access_tokens_expire_at`. The
/// transaction id is what sweeps go by, so it is that of the last end.
macro_rules! insert_revocations {
    ($ended:literal) => {
        concat!(
            "INSERT INTO revocations (session_id, user_id, expires_at)
                 SELECT id, user_id, access_tokens_expire_at FROM ",
            $ended,
            " ON CONFLICT (session_id) DO UPDATE
                  SET user_id = excluded.user_id, revoked_at = excluded.revoked_at,
                      expires_at = excluded.expires_at, transaction_id = excluded.transaction_id,
                      feed_position = NULL"
        )
    };
}
pub(super) use insert_revocations;

/// The columns of [`RevocationState`].
macro_rules! state_columns {
    () => {
        "redis_epoch, filling, changed_at, tokens_valid_from, service_id,
         current_database()::text AS database_name, clock_timestamp() AS database_time,
         pg_postmaster_start_time() AS server_started_at, pg_current_snapshot()::text AS snapshot"
    };
}

impl Store {
    /// Reads the state. A standby is refused: it may lag behind the latest withdrawal of trust.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer, [`StoreError::ReadOnly`] when it is a standby.
    pub async fn revocation_state(&self) -> Result<RevocationState, StoreError> {
        let state: Option<RevocationState> = sqlx::query_as(concat!(
            "SELECT ",
            state_columns!(),
            " FROM revocation_state WHERE NOT pg_is_in_recovery()"
        ))
        .fetch_optional(&self.pool)
        .await?;
        let state = state.ok_or_else(StoreError::found_standby)?;
        self.snapshots.keep((state.service_id, state.server_started_at), &state.snapshot, Instant::now());
        Ok(state)
    }

    /// The database's clock.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn database_time(&self) -> Result<DateTime<Utc>, StoreError> {
        Ok(sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&self.pool).await?)
    }

    /// Withdraws the trust in every Redis and makes a refill that is under way fail.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn distrust_redis(&self) -> Result<RevocationState, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let state = sqlx::query_as(concat!(
            "UPDATE revocation_state
             SET redis_epoch = NULL, filling = NULL,
                 changed_at = CASE WHEN redis_epoch IS NULL THEN changed_at ELSE clock_timestamp() END
             RETURNING ",
            state_columns!()
        ))
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(state)
    }

    /// Names the copy that a refill is making. Returns `false` when a Redis is trusted, or was since the withdrawal of
    /// `withdrawn`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn begin_refill(&self, epoch: &str, withdrawn: &Record) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query(
            "UPDATE revocation_state SET filling = $1 WHERE redis_epoch IS NULL AND changed_at = $2",
        )
        .bind(epoch)
        .bind(withdrawn.changed_at)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Trusts the copy of `epoch`, unless a revocation that is not in it has withdrawn the candidate. Returns whether it is
    /// trusted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn trust_redis(&self, epoch: &str) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query(
            "UPDATE revocation_state SET redis_epoch = $1, filling = NULL, changed_at = clock_timestamp()
             WHERE filling = $1",
        )
        .bind(epoch)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Where a sweep that begins now starts from the next time. Ask before reading what it copies.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer, [`StoreError::ReadOnly`] when it is a standby.
    pub async fn sweep_cursor(&self) -> Result<SweepCursor, StoreError> {
        sqlx::query_as(
            "SELECT service_id, pg_postmaster_start_time() AS server_started_at,
                    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running
             FROM revocation_state WHERE NOT pg_is_in_recovery()",
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(StoreError::found_standby)
    }

    /// Takes a connection for reading many revocations.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn read_revocations(&self) -> Result<RevocationReading, StoreError> {
        Ok(RevocationReading(self.pool.with(Deadlines::STREAM).acquire().await?))
    }

    /// Holds the right to refill Redis until the guard is dropped; `None` when another replica has it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn try_refill_right(&self) -> Result<Option<RefillRight>, StoreError> {
        let mut transaction = self.pool.begin_guard().await?;
        let granted: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtext('latchkey.revocation_refill'))")
                .fetch_one(&mut *transaction)
                .await?;
        Ok(granted.then_some(RefillRight { _transaction: transaction }))
    }
}

/// A connection from which revocations are read one by one.
pub struct RevocationReading(Connection);

impl RevocationReading {
    /// Every revocation that some replica's clock still needs, or those made by transactions from `since` on.
    pub fn active(&mut self, since: Option<i64>) -> BoxStream<'_, Result<RevokedSession, StoreError>> {
        let query = match since {
            None => {
                sqlx::query_as("SELECT session_id, expires_at FROM revocations WHERE expires_at > now() - $1")
                    .bind(KEPT_AFTER_EXPIRY)
            }
            Some(since) => sqlx::query_as(
                "SELECT session_id, expires_at FROM revocations
                 WHERE expires_at > now() - $1 AND transaction_id >= $2",
            )
            .bind(KEPT_AFTER_EXPIRY)
            .bind(since),
        };
        query.fetch(&mut self.0).map_err(StoreError::from).boxed()
    }
}

/// The right to refill Redis; its transaction holds an advisory lock, which ends with the connection at the
/// latest.
pub struct RefillRight {
    _transaction: Transaction,
}

#[cfg(test)]
#[path = "revocations_tests.rs"]
mod tests;
