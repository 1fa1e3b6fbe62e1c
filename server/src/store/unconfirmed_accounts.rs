//! Accounts that were registered and never used.

use chrono::TimeDelta;
use serde_json::json;

use super::audit::insert_event;
use super::group_locks::keep_groups_of;
use super::{HousekeepingRight, Store, StoreError};
use crate::domain::{AuditEvent, AuditKind, Outcome};

/// The event of an account that was deleted because its owner never confirmed it.
pub fn registration_expired_event(user_id: i64) -> AuditEvent<'static> {
    AuditEvent {
        kind: AuditKind::RegistrationExpired,
        outcome: Outcome::Success,
        actor_id: None,
        user_id: Some(user_id),
        session_id: None,
        origin: None,
        detail: json!({}),
    }
}

impl Store {
    /// Deletes up to `limit` accounts that were registered more than `age` ago and neither verified nor used since, and
    /// records it, in one transaction. Returns the accounts. An account that another request has locked stays.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn delete_unconfirmed_accounts(
        &self,
        _right: &HousekeepingRight,
        age: TimeDelta,
        limit: u32,
    ) -> Result<Vec<i64>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // A login or a verification either has the row locked, or waits until the account is gone.
        let locked: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM users
             WHERE unconfirmed AND created_at < now() - $1 AND email_verified_at IS NULL AND NOT is_superuser
               AND NOT EXISTS (SELECT FROM sessions WHERE sessions.user_id = users.id)
               AND NOT EXISTS (SELECT FROM audit_events
                               WHERE audit_events.user_id = users.id AND kind = 'login' AND outcome = 'success')
             ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        )
        .bind(age)
        .bind(i64::from(limit))
        .fetch_all(&mut *transaction)
        .await?;
        if locked.is_empty() {
            return Ok(locked);
        }
        keep_groups_of(&mut transaction, &locked).await?;
        // In a separate statement, which sees the sessions of logins that have ended meanwhile.
        let deleted: Vec<i64> = sqlx::query_scalar(
            "DELETE FROM users WHERE id = ANY ($1)
                 AND NOT EXISTS (SELECT FROM sessions WHERE sessions.user_id = users.id)
             RETURNING id",
        )
        .bind(&locked)
        .fetch_all(&mut *transaction)
        .await?;
        for user_id in &deleted {
            insert_event(&mut transaction, &registration_expired_event(*user_id)).await?;
        }
        transaction.commit().await?;
        Ok(deleted)
    }

    /// Records that the owner of a registered account has logged in: it does not expire any more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn confirm_account(&self, user_id: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE users SET unconfirmed = false WHERE id = $1 AND unconfirmed")
            .bind(user_id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
