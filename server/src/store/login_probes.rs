//! The accounts of the login probe. Each exists for one probe.

use super::{Store, StoreError};
use crate::domain::PasswordHash;

/// The prefix of the accounts' usernames. Their addresses are at `login-probe.invalid`, to which no e-mail can be
/// delivered (RFC 2606 §2).
pub const LOGIN_PROBE_PREFIX: &str = "login-probe-";

impl Store {
    /// Creates an ordinary account that can log in, and deletes accounts that interrupted probes left behind: those of
    /// earlier versions, whose names begin with `canary-`, too.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer or accepts no writes.
    pub async fn create_login_probe(
        &self,
        username: &str,
        password_hash: &PasswordHash,
    ) -> Result<i64, StoreError> {
        // Ranges, not LIKE: the unique index of usernames serves them. `.` follows `-` in ASCII.
        let leftover: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM (
                 SELECT id, is_superuser, created_at FROM users
                 WHERE lower(username COLLATE \"C\") >= 'login-probe-' AND lower(username COLLATE \"C\") < 'login-probe.'
                   AND email = username || '@login-probe.invalid'
                 UNION ALL
                 SELECT id, is_superuser, created_at FROM users
                 WHERE lower(username COLLATE \"C\") >= 'canary-' AND lower(username COLLATE \"C\") < 'canary.'
                   AND email = username || '@canary.invalid') AS probes
             WHERE NOT is_superuser AND created_at < now() - interval '1 hour' LIMIT 10",
        )
        .fetch_all(&self.pool)
        .await?;
        for user_id in leftover {
            self.delete_login_probe(user_id).await?;
        }
        Ok(sqlx::query_scalar(
            "INSERT INTO users (username, email, name, password_hash, email_verified_at)
             VALUES ($1, $1 || '@login-probe.invalid', 'Login probe', $2, now()) RETURNING id",
        )
        .bind(username)
        .bind(password_hash)
        .fetch_one(&self.pool)
        .await?)
    }

    /// Deletes such an account with its sessions and its audit events. Its revocation stays as long as any other.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn delete_login_probe(&self, user_id: i64) -> Result<(), StoreError> {
        sqlx::query(
            "WITH deleted AS (
                 DELETE FROM users
                 WHERE id = $1 AND NOT is_superuser
                   AND email IN (username || '@login-probe.invalid', username || '@canary.invalid')
                 RETURNING id),
             ended AS (
                 DELETE FROM sessions WHERE user_id IN (SELECT id FROM deleted))
             DELETE FROM audit_events WHERE user_id IN (SELECT id FROM deleted)",
        )
        .bind(user_id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
