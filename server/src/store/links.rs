//! Mailed links: whose they are, using them up, making them void.

use sqlx::PgConnection;

use super::{MailKind, Store, StoreError, TokenPurpose};

/// Whose link this is, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOwner {
    /// The account.
    pub user_id: i64,
    /// Its name.
    pub username: String,
    /// Its address.
    pub email: String,
    /// The person's name.
    pub name: String,
    /// Its language.
    pub locale: Option<String>,
    /// What the link is good for.
    pub purpose: TokenPurpose,
    /// The address that the link was mailed to.
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
    /// Whose link this is, while it is good for one of `purposes`. A link that was mailed to an address that is no
    /// longer the account's is not.
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

/// Uses a link up within a transaction; `None` when it is not, or no longer, good. The owner's row is locked first,
/// as everything does that changes both, so that no two wait for each other.
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
    // A statement of its own, which sees what happened to the token while the lock was waited for.
    let used = sqlx::query(
        "UPDATE one_time_tokens SET used_at = now()
         WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now()",
    )
    .bind(token_hash)
    .execute(connection)
    .await?;
    Ok((used.rows_affected() == 1).then_some(owner))
}

/// Makes the links of an account void, those that are still to be mailed too. Call it after the user's row is
/// locked.
pub(super) async fn void_links(
    connection: &mut PgConnection,
    user_id: i64,
    purposes: &[TokenPurpose],
) -> Result<(), StoreError> {
    let kinds: Vec<_> = purposes.iter().map(|purpose| mail_of(*purpose).as_str()).collect();
    // The messages first: a worker that is just now making a token locks its message's row, and the token is then
    // seen by the statement after this one.
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
