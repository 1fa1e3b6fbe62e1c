//! The credentials of registered clients, so that removed ones appear in the feed of revocations. Whether a token is
//! accepted here depends on the registry alone.

use chrono::TimeDelta;
use uuid::Uuid;

use super::{Store, StoreError};

impl Store {
    /// Records the credentials of the registry with this serial, and a revocation for each one that it no longer has, which
    /// is kept for `lifetime`. Does nothing if a registry of this or a later serial was recorded. Returns the number of
    /// removed ones.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn record_credentials(
        &self,
        serial: i64,
        credentials: &[Uuid],
        lifetime: TimeDelta,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // The row is a lock: of several replicas, one records.
        let newer = sqlx::query("UPDATE client_registry SET serial = $1 WHERE serial < $1")
            .bind(serial)
            .execute(&mut *transaction)
            .await?;
        if newer.rows_affected() == 0 {
            return Ok(0);
        }
        let removed = sqlx::query(
            "WITH removed AS (DELETE FROM client_credentials WHERE id <> ALL ($1) RETURNING id)
             INSERT INTO revocations (session_id, expires_at) SELECT id, now() + $2 FROM removed
             ON CONFLICT (session_id) DO NOTHING",
        )
        .bind(credentials)
        .bind(lifetime)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO client_credentials (id) SELECT unnest($1::uuid[]) ON CONFLICT (id) DO NOTHING",
        )
        .bind(credentials)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected())
    }
}
