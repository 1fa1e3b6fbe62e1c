//! One-time tokens: their purposes, creating one when its link is sent, using it up, voiding it.

use chrono::TimeDelta;
use sqlx::PgConnection;

use super::{DueMail, MailKind, Store, StoreError};

/// The only purpose of a one-time token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPurpose {
    /// Choosing a new password.
    PasswordReset,
    /// Verifying the account's address.
    EmailVerification,
    /// Changing the account's address to the one that the link was sent to.
    EmailChange,
    /// Choosing a first password.
    Invitation,
}

impl TokenPurpose {
    /// All purposes.
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

/// The account that a message is about.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Addressee {
    /// The account.
    pub user_id: i64,
    /// Its username.
    pub username: String,
    /// Its address on record.
    pub email: String,
    /// The language that its owner chose (BCP 47).
    pub locale: Option<String>,
    /// Whether the account is active.
    pub is_active: bool,
}

/// A one-time token to be created for a link.
#[derive(Clone, Copy)]
pub struct NewToken<'a> {
    /// Its purpose.
    pub purpose: TokenPurpose,
    /// The SHA-256 of the token.
    pub hash: &'a [u8],
    /// Its lifetime from now.
    pub lifetime: TimeDelta,
}

/// A created token and the address for its link.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MailedToken {
    /// The stored address, which is the only one to send to: the requested address may only look like it. For a change of
    /// address it is the new one.
    pub mailed_to: String,
    /// The username.
    pub username: String,
    /// The language that its owner chose (BCP 47).
    pub locale: Option<String>,
}

/// The account and the purpose of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOwner {
    /// The account.
    pub user_id: i64,
    /// Its username.
    pub username: String,
    /// Its address.
    pub email: String,
    /// The user's full name.
    pub name: String,
    /// Its language.
    pub locale: Option<String>,
    /// The purpose of the link.
    pub purpose: TokenPurpose,
    /// The address that the link was sent to.
    pub mailed_to: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    user_id: i64,
    username: String,
    email: String,
    name: String,
    locale: Option<String>,
    purpose: String,
    mailed_to: Option<String>,
}

impl Row {
    fn into_owner(self, purposes: &[TokenPurpose]) -> Option<LinkOwner> {
        let purpose = purposes.iter().copied().find(|purpose| purpose.as_str() == self.purpose)?;
        Some(LinkOwner {
            user_id: self.user_id,
            username: self.username,
            email: self.email,
            name: self.name,
            locale: self.locale,
            purpose,
            mailed_to: self.mailed_to,
        })
    }
}

fn names(purposes: &[TokenPurpose]) -> Vec<&'static str> {
    purposes.iter().map(|purpose| purpose.as_str()).collect()
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

    /// Creates the token of a message's link and voids the account's older tokens for the same purpose. Returns `None` and
    /// creates nothing when the message has become pointless: the account does not exist or is inactive; the message was
    /// withdrawn; the address is no longer the account's, or is already verified; the invited account already has a
    /// password; the password was changed after the change of address was requested (by a person who knew the old
    /// one).
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
        // In a separate statement, so that of two concurrent messages the second sees and voids the token of the first.
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

    /// The account of a valid link for one of `purposes`. A link that was sent to an address that is no longer the account's
    /// is invalid.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_link_owner(
        &self,
        token_hash: &[u8],
        purposes: &[TokenPurpose],
    ) -> Result<Option<LinkOwner>, StoreError> {
        let found: Option<Row> = sqlx::query_as(
            "SELECT users.id AS user_id, username, email, name, locale, purpose, mailed_to
             FROM one_time_tokens JOIN users ON users.id = user_id
             WHERE token_hash = $1 AND purpose = ANY($2) AND used_at IS NULL AND expires_at > now() AND is_active
               AND (purpose = 'email_change' OR mailed_to IS NULL
                    OR lower(mailed_to COLLATE \"C\") = lower(email COLLATE \"C\"))",
        )
        .bind(token_hash)
        .bind(names(purposes))
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.and_then(|row| row.into_owner(purposes)))
    }
}

/// Uses up a link within a transaction; `None` when it is not valid (any more). Locks the owner's row first, as every
/// transaction that changes both does, which avoids deadlocks.
pub(super) async fn use_link(
    connection: &mut PgConnection,
    token_hash: &[u8],
    purposes: &[TokenPurpose],
) -> Result<Option<LinkOwner>, StoreError> {
    let found: Option<Row> = sqlx::query_as(
        "SELECT users.id AS user_id, username, email, name, locale, purpose, mailed_to
         FROM one_time_tokens JOIN users ON users.id = user_id
         WHERE token_hash = $1 AND purpose = ANY($2) AND is_active
           AND (purpose = 'email_change' OR mailed_to IS NULL
                OR lower(mailed_to COLLATE \"C\") = lower(email COLLATE \"C\"))
         FOR NO KEY UPDATE OF users",
    )
    .bind(token_hash)
    .bind(names(purposes))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(owner) = found.and_then(|row| row.into_owner(purposes)) else { return Ok(None) };
    // In a separate statement, which sees what happened to the token while this transaction waited for the lock.
    let used = sqlx::query(
        "UPDATE one_time_tokens SET used_at = now()
         WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now()",
    )
    .bind(token_hash)
    .execute(connection)
    .await?;
    Ok((used.rows_affected() == 1).then_some(owner))
}

/// Voids the links of an account, including those still to be sent. Call it after the user's row is
/// locked.
pub(super) async fn void_links(
    connection: &mut PgConnection,
    user_id: i64,
    purposes: &[TokenPurpose],
) -> Result<(), StoreError> {
    let kinds: Vec<_> = purposes.iter().map(|purpose| mail_of(*purpose).as_str()).collect();
    // Messages first: a worker that is creating a token holds the lock of its message's row, and the statement below then
    // sees the token.
    sqlx::query("DELETE FROM outbox WHERE user_id = $1 AND kind = ANY($2)")
        .bind(user_id)
        .bind(kinds)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM one_time_tokens WHERE user_id = $1 AND used_at IS NULL AND purpose = ANY($2)")
        .bind(user_id)
        .bind(names(purposes))
        .execute(connection)
        .await?;
    Ok(())
}

fn mail_of(purpose: TokenPurpose) -> MailKind {
    match purpose {
        TokenPurpose::PasswordReset => MailKind::PasswordRecovery,
        TokenPurpose::EmailVerification => MailKind::EmailVerification,
        TokenPurpose::EmailChange => MailKind::EmailChange,
        TokenPurpose::Invitation => MailKind::Invitation,
    }
}
