//! The sessions of the current user.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::audit::insert_event;
use super::authority::RowLock;
use super::session_cutoffs::{EndedSessions, not_cut_off};
use super::sessions::end_sessions_of;
use super::{Actor, Store, StoreError};
use crate::domain::AuditEvent;

/// The maximum number of listed sessions.
pub const MOST_LISTED: i64 = 200;

/// An active session.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SessionRow {
    /// `sid` of its tokens.
    pub id: Uuid,
    /// The time of the login.
    pub created_at: DateTime<Utc>,
    /// The time of the login or of the last refresh.
    pub last_used_at: DateTime<Utc>,
    /// The client address at login.
    pub address: Option<String>,
    /// The `User-Agent` at login.
    pub user_agent: Option<String>,
}

impl Store {
    /// The active sessions of the account: that of `actor` first, then by last use, at most [`MOST_LISTED`].
    ///
    /// # Errors
    /// [`StoreError::SessionOver`]; [`StoreError::Unavailable`] when the database does not answer.
    pub async fn list_sessions(&self, actor: Actor) -> Result<Vec<SessionRow>, StoreError> {
        let mut reading = self.read_as(actor).await?;
        let found = sqlx::query_as(concat!(
            "SELECT id, created_at, last_used_at, address, user_agent FROM sessions
             WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()",
            not_cut_off!(),
            "ORDER BY id = $2 DESC, last_used_at DESC, id LIMIT $3"
        ))
        .bind(actor.user_id)
        .bind(actor.session_id)
        .bind(MOST_LISTED)
        .fetch_all(reading.connection())
        .await?;
        reading.finish(found).await
    }

    /// Whether this account has had this session, which has ended.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn has_ended_own_session(&self, session_id: Uuid, user_id: i64) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (
                 SELECT FROM revocations JOIN sessions ON sessions.id = session_id
                 WHERE session_id = $1 AND sessions.user_id = $2)",
        )
        .bind(session_id)
        .bind(user_id)
        .fetch_one(&self.pool)
        .await?)
    }

    /// Ends every session of the account that `actor` acts for, and returns what is to be announced: see
    /// [`Store::recent_ends`].
    ///
    /// # Errors
    /// [`StoreError::SessionOver`]; [`StoreError::Unavailable`] when the database does not answer.
    pub async fn end_every_session(
        &self,
        actor: Actor,
        event: &AuditEvent<'_>,
    ) -> Result<EndedSessions, StoreError> {
        let mut transaction = self.begin_as(actor, RowLock::Change).await?;
        end_sessions_of(&mut transaction, actor.user_id, None).await?;
        insert_event(&mut transaction, event).await?;
        let revoked = self.recent_ends_in(&mut transaction, actor.user_id).await?;
        transaction.commit().await?;
        Ok(revoked)
    }
}
