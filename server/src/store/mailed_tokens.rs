//! One-time tokens as they are made, when the message with their link is sent; and whom a message is about.

use chrono::TimeDelta;

use super::{DueMail, Store, StoreError, TokenPurpose};

/// The account that a message is about.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Addressee {
    /// The account.
    pub user_id: i64,
    /// Its name.
    pub username: String,
    /// Its address on record.
    pub email: String,
    /// The language its owner chose (BCP 47).
    pub locale: Option<String>,
    /// Whether it may log in.
    pub is_active: bool,
}

/// The one-time token of a link that is about to be mailed.
#[derive(Clone, Copy)]
pub struct NewToken<'a> {
    /// What it is good for.
    pub purpose: TokenPurpose,
    /// SHA-256 of it.
    pub hash: &'a [u8],
    /// How long it is good from now on.
    pub lifetime: TimeDelta,
}

/// A token that was made, and where it may be mailed to.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MailedToken {
    /// The address as it is on record, which alone may be written to: the one that was asked for might only look
    /// like it. For a change of address it is the new one.
    pub mailed_to: String,
    /// The account's name.
    pub username: String,
    /// The language its owner chose (BCP 47).
    pub locale: Option<String>,
}

impl Store {
    /// The account that a message is about: the one that it names, or else the one with the recipient's address.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_addressee(&self, mail: &DueMail) -> Result<Option<Addressee>, StoreError> {
        let query = match mail.user_id {
            Some(id) => sqlx::query_as(
                "SELECT id AS user_id, username, email, locale, is_active FROM users WHERE id = $1",
            )
            .bind(id),
            None => sqlx::query_as(
                "SELECT id AS user_id, username, email, locale, is_active FROM users
                 WHERE lower(email COLLATE \"C\") = lower($1 COLLATE \"C\")",
            )
            .bind(&mail.recipient),
        };
        Ok(query.fetch_optional(&self.pool).await?)
    }

    /// Makes the token of a message's link and voids the account's older ones for the same purpose. `None`, and
    /// nothing made, when the message has become pointless: there is no such account or it is inactive; the message
    /// was taken back; the address is no longer the account's, or is verified already; the account to be invited
    /// has a password by now; the password was changed since the change of address was asked for (by whoever knew
    /// the old one).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn create_mailed_token(
        &self,
        mail: &DueMail,
        token: &NewToken<'_>,
    ) -> Result<Option<MailedToken>, StoreError> {
        let Some(addressee) = self.find_addressee(mail).await? else { return Ok(None) };
        let mut transaction = self.pool.begin().await?;
        // In a statement of its own: of two messages sent at once the second then sees, and voids, the first's token.
        sqlx::query("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE")
            .bind(addressee.user_id)
            .execute(&mut *transaction)
            .await?;
        let made = sqlx::query_as(
            "WITH owner AS (
                 SELECT users.id, username, users.locale,
                        CASE $2 WHEN 'email_change' THEN recipient ELSE email END AS mailed_to
                 FROM users CROSS JOIN outbox
                 WHERE users.id = $1 AND outbox.id = $5 AND is_active
                   AND CASE $2
                       WHEN 'password_reset' THEN lower(email COLLATE \"C\") = lower(recipient COLLATE \"C\")
                       WHEN 'email_verification' THEN lower(email COLLATE \"C\") = lower(recipient COLLATE \"C\")
                            AND email_verified_at IS NULL
                       WHEN 'email_change' THEN lower(email COLLATE \"C\") <> lower(recipient COLLATE \"C\")
                            AND password_changed_at <= outbox.created_at
                       WHEN 'invitation' THEN lower(email COLLATE \"C\") = lower(recipient COLLATE \"C\")
                            AND password_hash IS NULL
                       ELSE false END),
             voided AS (
                 DELETE FROM one_time_tokens USING owner WHERE user_id = owner.id AND purpose = $2),
             made AS (
                 INSERT INTO one_time_tokens (user_id, purpose, token_hash, mailed_to, expires_at)
                 SELECT id, $2, $3, mailed_to, now() + $4 FROM owner)
             SELECT mailed_to, username, locale FROM owner",
        )
        .bind(addressee.user_id)
        .bind(token.purpose.as_str())
        .bind(token.hash)
        .bind(token.lifetime)
        .bind(mail.id)
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(made)
    }
}
