//! Sessions that had ended and are active again, because a failover of the database lost the transactions that ended them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::revocations::insert_revocations;
use super::sessions::end_sessions_where;
use super::{RevokedSession, Store, StoreError};

impl Store {
    /// The ids of active sessions after `last`, in their order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn active_sessions_after(&self, last: Uuid, limit: i64) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT id FROM sessions WHERE id > $1 AND ended_at IS NULL ORDER BY id LIMIT $2",
        )
        .bind(last)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Ends those of these sessions that are active. All of them had been announced as ended.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn end_again(&self, sessions: &[Uuid]) -> Result<Vec<RevokedSession>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let ended = sqlx::query_as(end_sessions_where!("id = ANY ($1)"))
            .bind(sessions)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(ended)
    }

    /// Records the revocation of a session that the database does not know, because a failover lost its login.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn revoke_unknown_session(
        &self,
        (session_id, user_id): (Uuid, i64),
        access_tokens_expire_at: DateTime<Utc>,
    ) -> Result<Option<RevokedSession>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let revoked = sqlx::query_as(concat!(
            "WITH unknown AS (
                 SELECT $1 AS id, $3 AS user_id, $2 AS access_tokens_expire_at
                 WHERE NOT EXISTS (SELECT FROM sessions WHERE id = $1)
                   AND NOT EXISTS (SELECT FROM revocations WHERE session_id = $1)) ",
            insert_revocations!("unknown"),
            " RETURNING session_id, expires_at"
        ))
        .bind(session_id)
        .bind(access_tokens_expire_at)
        .bind(user_id)
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(revoked)
    }
}
