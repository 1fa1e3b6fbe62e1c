//! One-time tokens: their purposes, creating one when its link is sent, using it up, voiding it.

use super::pool::Connection;
use chrono::{DateTime, TimeDelta, Utc};

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
    pub user_id: i64,
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
    pub purpose: TokenPurpose,
    /// The SHA-256 of the token.
    pub hash: &'a [u8],
    /// Its lifetime from now.
    pub lifetime: TimeDelta,
}

/// A created token and the address for its link.
#[derive(Debug, Clone)]
pub struct MailedToken {
    /// The stored address, which is the only one to send to: the requested address may only look like it. For a change of
    /// address it is the new one.
    pub mailed_to: String,
    pub username: String,
    /// The language that its owner chose (BCP 47).
    pub locale: Option<String>,
}

/// The account and the purpose of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOwner {
    pub user_id: i64,
    pub username: String,
    pub email: String,
    /// The user's full name.
    pub name: String,
    pub locale: Option<String>,
    pub purpose: TokenPurpose,
    /// The address that the link was sent to.
    pub mailed_to: Option<String>,
}

/// What decides whether an account needs a token.
#[derive(sqlx::FromRow)]
struct TokenOwner {
    username: String,
    email: String,
    locale: Option<String>,
    is_active: bool,
    is_verified: bool,
    has_password: bool,
    password_changed_at: DateTime<Utc>,
}

impl TokenOwner {
    /// Whether the account still needs a token for this purpose that was requested at this time for this address.
    fn needs(&self, purpose: TokenPurpose, recipient: &str, requested_at: DateTime<Utc>) -> bool {
        let is_own_address = self.email.eq_ignore_ascii_case(recipient);
        self.is_active
            && match purpose {
                TokenPurpose::PasswordReset => is_own_address,
                TokenPurpose::EmailVerification => is_own_address && !self.is_verified,
                // A person who knew the old password may have requested the change.
                TokenPurpose::EmailChange => !is_own_address && self.password_changed_at <= requested_at,
                TokenPurpose::Invitation => is_own_address && !self.has_password,
            }
    }
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

/// The account of a link for one of the purposes `$2`, which is invalid if it was sent to an address that is no longer the
/// account's.
macro_rules! select_link_owner {
    ($further:literal) => {
        concat!(
            "SELECT users.id AS user_id, username, email, name, locale, purpose, mailed_to
             FROM one_time_tokens JOIN users ON users.id = user_id
             WHERE token_hash = $1 AND purpose = ANY($2) AND is_active
               AND (purpose = 'email_change' OR mailed_to IS NULL
                    OR lower(mailed_to COLLATE \"C\") = lower(email COLLATE \"C\")) ",
            $further
        )
    };
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
    /// password; the password was changed after the change of address was requested.
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
        // Locked in a separate statement: the ones below see the token of a concurrent message, and whether the message was
        // withdrawn.
        let owner: Option<TokenOwner> = sqlx::query_as(
            "SELECT username, email, locale, is_active, email_verified_at IS NOT NULL AS is_verified,
                    password_hash IS NOT NULL AS has_password, password_changed_at
             FROM users WHERE id = $1 FOR NO KEY UPDATE",
        )
        .bind(addressee.user_id)
        .fetch_optional(&mut *transaction)
        .await?;
        let requested_at: Option<DateTime<Utc>> =
            sqlx::query_scalar("SELECT created_at FROM outbox WHERE id = $1")
                .bind(mail.id)
                .fetch_optional(&mut *transaction)
                .await?;
        let (Some(owner), Some(requested_at)) = (owner, requested_at) else { return Ok(None) };
        if !owner.needs(token.purpose, &mail.recipient, requested_at) {
            return Ok(None);
        }
        let mailed_to = match token.purpose {
            TokenPurpose::EmailChange => mail.recipient.clone(),
            _ => owner.email,
        };
        sqlx::query("DELETE FROM one_time_tokens WHERE user_id = $1 AND purpose = $2")
            .bind(addressee.user_id)
            .bind(token.purpose.as_str())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO one_time_tokens (user_id, purpose, token_hash, mailed_to, expires_at)
             VALUES ($1, $2, $3, $4, now() + $5)",
        )
        .bind(addressee.user_id)
        .bind(token.purpose.as_str())
        .bind(token.hash)
        .bind(&mailed_to)
        .bind(token.lifetime)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(MailedToken { mailed_to, username: owner.username, locale: owner.locale }))
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
        let found: Option<Row> =
            sqlx::query_as(select_link_owner!("AND used_at IS NULL AND expires_at > now()"))
                .bind(token_hash)
                .bind(names(purposes))
                .fetch_optional(&self.pool)
                .await?;
        Ok(found.and_then(|row| row.into_owner(purposes)))
    }

    /// The account whose password this link has set.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_user_of_used_link(&self, token_hash: &[u8]) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT user_id FROM one_time_tokens
             WHERE token_hash = $1 AND used_at IS NOT NULL AND purpose = ANY($2)",
        )
        .bind(token_hash)
        .bind(names(&[TokenPurpose::PasswordReset, TokenPurpose::Invitation]))
        .fetch_optional(&self.pool)
        .await?)
    }
}

/// Uses up a link within a transaction; `None` when it is not valid (any more). Locks the owner's row first, as every
/// transaction that changes both does, which avoids deadlocks.
pub(super) async fn use_link(
    connection: &mut Connection,
    token_hash: &[u8],
    purposes: &[TokenPurpose],
) -> Result<Option<LinkOwner>, StoreError> {
    let found: Option<Row> = sqlx::query_as(select_link_owner!("FOR NO KEY UPDATE OF users"))
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

/// Voids the links of an account, including those still to be sent. Call it after the user's row is locked: a worker that
/// creates a token locks it too, so its token is seen here or it sees that its message is gone.
pub(super) async fn void_links(
    connection: &mut Connection,
    user_id: i64,
    purposes: &[TokenPurpose],
) -> Result<(), StoreError> {
    let kinds: Vec<_> = purposes.iter().map(|purpose| mail_of(*purpose).as_str()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_created_only_while_the_account_needs_it() {
        use TokenPurpose::{EmailChange, EmailVerification, Invitation, PasswordReset};
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let owner = |is_active, is_verified, has_password| TokenOwner {
            username: "john".to_owned(),
            email: "John@example.com".to_owned(),
            locale: None,
            is_active,
            is_verified,
            has_password,
            password_changed_at: at(100),
        };
        let needed = |owner: &TokenOwner, recipient, requested_at| -> Vec<TokenPurpose> {
            let needs = |purpose: &TokenPurpose| owner.needs(*purpose, recipient, at(requested_at));
            TokenPurpose::ALL.into_iter().filter(needs).collect()
        };
        let (own, other) = ("john@EXAMPLE.com", "new@example.com");
        assert_eq!(needed(&owner(true, true, true), own, 200), [PasswordReset]);
        assert_eq!(needed(&owner(true, false, true), own, 200), [PasswordReset, EmailVerification]);
        assert_eq!(needed(&owner(true, true, false), own, 200), [PasswordReset, Invitation]);
        assert_eq!(needed(&owner(true, true, true), other, 100), [EmailChange]);
        assert_eq!(needed(&owner(true, true, true), other, 99), []);
        assert_eq!(needed(&owner(false, false, false), own, 200), []);
        assert_eq!(needed(&owner(false, false, false), other, 200), []);
    }
}
