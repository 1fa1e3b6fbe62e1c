//! One-time tokens, and what a password reset does.

use chrono::TimeDelta;

use super::audit::insert_event;
use super::sessions::end_sessions_of;
use super::{RevokedSession, Store, StoreError};
use crate::domain::{AuditEvent, AuditKind, Origin};

/// What a one-time token is good for; never for anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPurpose {
    /// Choosing a new password.
    PasswordReset,
    /// Showing that the account's address is read.
    EmailVerification,
    /// Making the address it was mailed to the account's.
    EmailChange,
    /// Choosing a first password.
    Invitation,
}

impl TokenPurpose {
    /// The name in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "password_reset",
            Self::EmailVerification => "email_verification",
            Self::EmailChange => "email_change",
            Self::Invitation => "invitation",
        }
    }
}

/// Whose password a reset token may change.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ResetSubject {
    /// The account.
    pub user_id: i64,
    /// Its names, which the new password must not equal.
    pub username: String,
    /// See `username`.
    pub email: String,
    /// See `username`.
    pub name: String,
}

impl Store {
    /// Makes a reset token for the active account with this address and voids its older ones. Gives the address
    /// on record, which alone may be written to: the one that was asked for might only look like it. `None` when
    /// there is no such account.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn create_reset_token(
        &self,
        email: &str,
        token_hash: &[u8],
        lifetime: TimeDelta,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "WITH owner AS (
                 SELECT id, email FROM users
                 WHERE lower(email COLLATE \"C\") = lower($1 COLLATE \"C\") AND is_active),
             voided AS (
                 DELETE FROM one_time_tokens USING owner
                 WHERE user_id = owner.id AND purpose = 'password_reset'),
             made AS (
                 INSERT INTO one_time_tokens (user_id, purpose, token_hash, expires_at)
                 SELECT id, 'password_reset', $2, now() + $3 FROM owner)
             SELECT email FROM owner",
        )
        .bind(email)
        .bind(token_hash)
        .bind(lifetime)
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Whose token this is, while it is good.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_reset_subject(&self, token_hash: &[u8]) -> Result<Option<ResetSubject>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT users.id AS user_id, username, email, name
             FROM one_time_tokens JOIN users ON users.id = user_id
             WHERE token_hash = $1 AND purpose = 'password_reset'
               AND used_at IS NULL AND expires_at > now() AND is_active",
        )
        .bind(token_hash)
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Uses the token up, changes the password, ends every session and puts a notice into the outbox, all or
    /// nothing. `None` when the token was used, voided or expired meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn reset_password(
        &self,
        token_hash: &[u8],
        password_hash: &str,
        origin: &Origin,
    ) -> Result<Option<(i64, Vec<RevokedSession>)>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let user_id: Option<i64> = sqlx::query_scalar(
            "UPDATE one_time_tokens SET used_at = now()
             WHERE token_hash = $1 AND purpose = 'password_reset' AND used_at IS NULL AND expires_at > now()
             RETURNING user_id",
        )
        .bind(token_hash)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(user_id) = user_id else { return Ok(None) };
        let email: Option<String> = sqlx::query_scalar(
            // Who reads the mail at the address has just shown it.
            "UPDATE users SET password_hash = $2, password_changed_at = now(),
                    email_verified_at = coalesce(email_verified_at, now())
             WHERE id = $1 AND is_active
             RETURNING email",
        )
        .bind(user_id)
        .bind(password_hash)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(email) = email else { return Ok(None) };
        let revoked = end_sessions_of(&mut transaction, user_id, None).await?;
        sqlx::query(
            "WITH notice AS (INSERT INTO outbox (kind, recipient, user_id) VALUES ('password_changed', $2, $1))
             DELETE FROM one_time_tokens WHERE user_id = $1 AND used_at IS NULL",
        )
        .bind(user_id)
        .bind(email)
        .execute(&mut *transaction)
        .await?;
        insert_event(&mut transaction, &AuditEvent::own(AuditKind::PasswordReset, user_id, origin)).await?;
        transaction.commit().await?;
        Ok(Some((user_id, revoked)))
    }
}
