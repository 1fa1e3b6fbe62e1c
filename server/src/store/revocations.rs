//! Revocations, and which Redis may be trusted to know them (docs/decisions/0002).

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::{Store, StoreError};

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
    /// The marker that a trusted Redis shows.
    pub redis_epoch: Option<String>,
    /// The marker that a filling under way will set.
    pub filling: Option<String>,
    /// Counts revocations that went past Redis.
    pub generation: i64,
    /// When `redis_epoch` last changed.
    pub changed_at: DateTime<Utc>,
    /// Tokens issued before are of a database that is no more.
    pub tokens_valid_from: DateTime<Utc>,
}

impl Store {
    /// Reads the state.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn revocation_state(&self) -> Result<RevocationState, StoreError> {
        Ok(sqlx::query_as(
            "SELECT redis_epoch, filling, generation, changed_at, tokens_valid_from FROM revocation_state",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Withdraws the trust in every Redis and makes a refill that is under way fail.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn distrust_redis(&self) -> Result<RevocationState, StoreError> {
        Ok(sqlx::query_as(
            "UPDATE revocation_state
             SET generation = generation + 1, redis_epoch = NULL, filling = NULL,
                 changed_at = CASE WHEN redis_epoch IS NULL THEN changed_at ELSE clock_timestamp() END
             RETURNING redis_epoch, filling, generation, changed_at, tokens_valid_from",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Says which marker a filling will set, and gives the generation it begins at. `None` when some Redis is
    /// believed: then there is nothing to fill.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn begin_filling(&self, epoch: &str) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar(
            "UPDATE revocation_state SET filling = $1 WHERE redis_epoch IS NULL RETURNING generation",
        )
        .bind(epoch)
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Declares the Redis that shows `epoch` complete, unless a revocation went past Redis since `generation`
    /// was read. Returns whether it was declared.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn trust_redis(&self, epoch: &str, generation: i64) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE revocation_state SET redis_epoch = $1, filling = NULL, changed_at = clock_timestamp()
             WHERE generation = $2 AND redis_epoch IS NULL AND filling = $1",
        )
        .bind(epoch)
        .bind(generation)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Every revocation that still matters, or those made within the last `within`.
    pub fn active_revocations(
        &self,
        within: Option<TimeDelta>,
    ) -> BoxStream<'_, Result<RevokedSession, StoreError>> {
        let query = match within {
            None => sqlx::query_as("SELECT session_id, expires_at FROM revocations WHERE expires_at > now()"),
            Some(within) => sqlx::query_as(
                "SELECT session_id, expires_at FROM revocations
                 WHERE expires_at > now() AND revoked_at > now() - $1",
            )
            .bind(within),
        };
        query.fetch(&self.pool).map_err(StoreError::from).boxed()
    }

    /// The revocation of this session, if it was revoked.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_revocation(&self, session_id: Uuid) -> Result<Option<RevokedSession>, StoreError> {
        Ok(sqlx::query_as("SELECT session_id, expires_at FROM revocations WHERE session_id = $1")
            .bind(session_id)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// Holds the right to refill Redis until the guard is dropped; `None` when another replica has it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn try_refill_right(&self) -> Result<Option<RefillRight>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let granted: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtext('latchkey.revocation_refill'))")
                .fetch_one(&mut *transaction)
                .await?;
        Ok(granted.then_some(RefillRight { _transaction: transaction }))
    }
}

/// The right to refill Redis; its transaction holds an advisory lock, which ends with the connection at the
/// latest.
pub struct RefillRight {
    _transaction: sqlx::Transaction<'static, sqlx::Postgres>,
}
