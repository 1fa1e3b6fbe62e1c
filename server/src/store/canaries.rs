//! The accounts by which a server tries itself out. Each lives for one try.

use super::{Store, StoreError};
use crate::domain::PasswordHash;

/// What every such account is called before its own part; its address is the same at a domain that no mail ever
/// reaches (RFC 2606 §2).
pub const CANARY_PREFIX: &str = "canary-";

impl Store {
    /// Makes an ordinary account that can log in, and clears away what tries that were cut off left behind.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer or takes no rows.
    pub async fn create_canary(
        &self,
        username: &str,
        password_hash: &PasswordHash,
    ) -> Result<i64, StoreError> {
        let left: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM users
             WHERE username COLLATE \"C\" LIKE 'canary-%' AND email = username || '@canary.invalid'
               AND NOT is_superuser AND created_at < now() - interval '1 hour' LIMIT 10",
        )
        .fetch_all(&self.pool)
        .await?;
        for user_id in left {
            self.delete_canary(user_id).await?;
        }
        Ok(sqlx::query_scalar(
            "INSERT INTO users (username, email, name, password_hash, email_verified_at)
             VALUES ($1, $1 || '@canary.invalid', 'Canary', $2, now()) RETURNING id",
        )
        .bind(username)
        .bind(password_hash)
        .fetch_one(&self.pool)
        .await?)
    }

    /// Deletes such an account with its sessions and what the audit says of it. Its revocation stays for as long as
    /// any other.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn delete_canary(&self, user_id: i64) -> Result<(), StoreError> {
        sqlx::query(
            "WITH deleted AS (
                 DELETE FROM users
                 WHERE id = $1 AND NOT is_superuser AND email = username || '@canary.invalid' RETURNING id)
             DELETE FROM audit_events WHERE user_id IN (SELECT id FROM deleted)",
        )
        .bind(user_id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
