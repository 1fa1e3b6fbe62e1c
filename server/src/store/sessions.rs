//! Sessions: beginning one, ending one.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{RevokedSession, Store, StoreError};

/// A session to begin after a password was verified.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// Its id, `sid` of its tokens.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: i64,
    /// The hash that the password was verified against.
    pub verified_hash: &'a str,
    /// `jti` of the first refresh token.
    pub refresh_jti: Uuid,
    /// When the first access token expires.
    pub access_expires_at: DateTime<Utc>,
    /// When the first refresh token expires.
    pub refresh_expires_at: DateTime<Utc>,
    /// The request it came by.
    pub request_id: &'a str,
}

/// Whose a session is.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SessionOwner {
    /// The account.
    pub user_id: i64,
    /// Its name.
    pub username: String,
}

impl Store {
    /// Begins a session. `false`, and nothing done, when the account was deactivated or its password changed
    /// since it was verified: the row lock makes a concurrent change wait, or be seen.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn begin_session(&self, session: &NewSession<'_>) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "WITH owner AS (
                 SELECT id FROM users WHERE id = $2 AND password_hash = $3 AND is_active FOR SHARE),
             begun AS (
                 INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at)
                 SELECT $1, id, $5, $6 FROM owner RETURNING id, user_id),
             audited AS (
                 INSERT INTO audit_events (kind, user_id, session_id, request_id)
                 SELECT 'login_succeeded', user_id, id, $7 FROM begun)
             INSERT INTO refresh_tokens (jti, session_id, expires_at) SELECT $4, id, $6 FROM begun",
        )
        .bind(session.id)
        .bind(session.user_id)
        .bind(session.verified_hash)
        .bind(session.refresh_jti)
        .bind(session.access_expires_at)
        .bind(session.refresh_expires_at)
        .bind(session.request_id)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a session and records the revocation, in one transaction. `None` when it had ended already or is
    /// not this user's; then there is nothing new to announce, but announcing again does no harm.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn end_session(
        &self,
        session_id: Uuid,
        user_id: i64,
        request_id: &str,
    ) -> Result<Option<RevokedSession>, StoreError> {
        Ok(sqlx::query_as(
            "WITH ended AS (
                 UPDATE sessions SET ended_at = now() WHERE id = $1 AND user_id = $2 AND ended_at IS NULL
                 RETURNING id, access_tokens_expire_at),
             audited AS (
                 INSERT INTO audit_events (kind, user_id, session_id, request_id)
                 SELECT 'logout', $2, id, $3 FROM ended)
             INSERT INTO revocations (session_id, expires_at)
             SELECT id, access_tokens_expire_at FROM ended
             ON CONFLICT (session_id) DO UPDATE SET expires_at = excluded.expires_at
             RETURNING session_id, expires_at",
        )
        .bind(session_id)
        .bind(user_id)
        .bind(request_id)
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Whether this session was ended, or never was. What is asked when Redis cannot be trusted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn session_is_over(&self, session_id: Uuid) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT FROM sessions WHERE id = $1 AND ended_at IS NULL)
                 OR EXISTS (SELECT FROM revocations WHERE session_id = $1)",
        )
        .bind(session_id)
        .fetch_one(&self.pool)
        .await?)
    }
}
