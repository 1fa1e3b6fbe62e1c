//! One-time tokens: making them. What they are used for is in `links`.

use chrono::TimeDelta;

use super::{Store, StoreError};

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
    /// Every purpose.
    pub const ALL: [Self; 4] =
        [Self::PasswordReset, Self::EmailVerification, Self::EmailChange, Self::Invitation];

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
                 INSERT INTO one_time_tokens (user_id, purpose, token_hash, mailed_to, expires_at)
                 SELECT id, 'password_reset', $2, email, now() + $3 FROM owner)
             SELECT email FROM owner",
        )
        .bind(email)
        .bind(token_hash)
        .bind(lifetime)
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Makes the token of a message that is about an account, and voids its older ones of this purpose. Gives the
    /// address to write to. `None` when there is nobody (any more) whom the message could be for.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn create_link_token(
        &self,
        mail_id: i64,
        purpose: TokenPurpose,
        token_hash: &[u8],
        lifetime: TimeDelta,
    ) -> Result<Option<String>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // The user's row first, as everything does that makes links void: what it took out of the outbox is then
        // seen to be gone.
        sqlx::query(
            "SELECT FROM users WHERE id = (SELECT user_id FROM outbox WHERE id = $1) FOR NO KEY UPDATE",
        )
        .bind(mail_id)
        .execute(&mut *transaction)
        .await?;
        let recipient = sqlx::query_scalar(
            "WITH owner AS (
                 SELECT users.id, recipient FROM outbox JOIN users ON users.id = outbox.user_id
                 WHERE outbox.id = $1 AND is_active
                   AND ($2 = 'email_change' OR lower(email COLLATE \"C\") = lower(recipient COLLATE \"C\"))
                   AND ($2 <> 'email_verification' OR email_verified_at IS NULL)),
             voided AS (
                 DELETE FROM one_time_tokens USING owner WHERE user_id = owner.id AND purpose = $2),
             made AS (
                 INSERT INTO one_time_tokens (user_id, purpose, token_hash, mailed_to, expires_at)
                 SELECT id, $2, $3, recipient, now() + $4 FROM owner)
             SELECT recipient FROM owner",
        )
        .bind(mail_id)
        .bind(purpose.as_str())
        .bind(token_hash)
        .bind(lifetime)
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(recipient)
    }
}
