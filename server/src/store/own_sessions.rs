//! The sessions of one account, as its owner sees them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::audit::insert_event;
use super::sessions::end_sessions_of;
use super::{RevokedSession, Store, StoreError};
use crate::domain::AuditEvent;

/// The most sessions that are listed.
pub const MOST_LISTED: i64 = 200;

/// A session that goes on.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SessionRow {
    /// `sid` of its tokens.
    pub id: Uuid,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it began or was last refreshed.
    pub last_used_at: DateTime<Utc>,
    /// Where it began.
    pub address: Option<String>,
    /// What began it, by its own word.
    pub user_agent: Option<String>,
}

impl Store {
    /// The account's sessions that go on: `current` first, then the last used ones, [`MOST_LISTED`] at most.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn list_sessions(&self, user_id: i64, current: Uuid) -> Result<Vec<SessionRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id, created_at, last_used_at, address, user_agent FROM sessions
             WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()
             ORDER BY id = $2 DESC, last_used_at DESC, id LIMIT $3",
        )
        .bind(user_id)
        .bind(current)
        .bind(MOST_LISTED)
        .fetch_all(&self.pool)
        .await?)
    }

    /// The revocation of a session of this account that has ended; `None` when there is no such session.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_own_revocation(
        &self,
        session_id: Uuid,
        user_id: i64,
    ) -> Result<Option<RevokedSession>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT session_id, revocations.expires_at
             FROM revocations JOIN sessions ON sessions.id = session_id
             WHERE session_id = $1 AND user_id = $2",
        )
        .bind(session_id)
        .bind(user_id)
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Ends every session of an account. Gives all its revocations that still matter, so that those are announced
    /// too that an earlier attempt could not make known.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn end_every_session(
        &self,
        user_id: i64,
        event: &AuditEvent<'_>,
    ) -> Result<Vec<RevokedSession>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE")
            .bind(user_id)
            .execute(&mut *transaction)
            .await?;
        end_sessions_of(&mut transaction, user_id, None).await?;
        insert_event(&mut transaction, event).await?;
        let revoked = sqlx::query_as(
            "SELECT session_id, revocations.expires_at
             FROM revocations JOIN sessions ON sessions.id = session_id
             WHERE user_id = $1 AND revocations.expires_at > now()",
        )
        .bind(user_id)
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(revoked)
    }
}
