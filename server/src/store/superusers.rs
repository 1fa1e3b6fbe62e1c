//! The rule that at least one superuser can always log in.

use super::pool::Connection;

use super::{NewSuperuser, Store, StoreError};
use crate::domain::AuditKind;

/// Whether this account is the only superuser who can log in. Concurrent callers wait until the transaction
/// ends.
///
/// Call it after the row of the account is locked, before it is deleted, demoted or deactivated. Two concurrent changes
/// then run one after the other, and the second sees the first (under READ COMMITTED each statement
/// takes a new snapshot): without the lock each could count on the other's superuser.
pub(super) async fn is_last_superuser(connection: &mut Connection, user_id: i64) -> Result<bool, StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('latchkey.superusers'))")
        .execute(&mut *connection)
        .await?;
    // An invited account without a password administers nothing yet.
    Ok(sqlx::query_scalar(
        "SELECT NOT EXISTS (
             SELECT FROM users
             WHERE is_superuser AND is_active AND password_hash IS NOT NULL AND id <> $1)
         AND EXISTS (
             SELECT FROM users
             WHERE is_superuser AND is_active AND password_hash IS NOT NULL AND id = $1)",
    )
    .bind(user_id)
    .fetch_one(connection)
    .await?)
}

impl Store {
    /// Creates a superuser on the command line, and records it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name or the address is taken.
    pub async fn create_superuser(&self, user: &NewSuperuser) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "WITH created AS (
                 INSERT INTO users (username, email, name, password_hash, is_superuser, email_verified_at)
                 VALUES ($1, $2, $3, $4, true, now())
                 RETURNING id),
             audited AS (INSERT INTO audit_events (kind, user_id) SELECT $5, id FROM created)
             SELECT id FROM created",
        )
        .bind(user.username.as_str())
        .bind(user.email.as_str())
        .bind(user.name.as_str())
        .bind(&user.password_hash)
        .bind(AuditKind::SuperuserCreated.as_str())
        .fetch_one(&self.pool)
        .await?)
    }
}
