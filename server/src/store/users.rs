//! Accounts.

use std::collections::HashMap;

use super::profile_reader::fetch_profiles;
use super::{Profile, Store, StoreError};
use crate::domain::{EmailAddress, LoginName, PasswordHash, PersonName, Username};

/// What a login needs to know of an account.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Credentials {
    pub id: i64,
    /// Its name as it was given.
    pub username: String,
    /// PHC string; `None` while the account has no password yet.
    pub password_hash: Option<PasswordHash>,
    /// Whether anybody has shown to read mail at its address.
    pub is_verified: bool,
    /// Whether it may log in.
    pub is_active: bool,
    /// Whether it was registered and has neither been verified nor used since.
    pub unconfirmed: bool,
}

/// The columns of [`Credentials`].
macro_rules! credentials_columns {
    () => {
        "users.id, username, password_hash, is_active, email_verified_at IS NOT NULL AS is_verified, unconfirmed"
    };
}
pub(super) use credentials_columns;

/// A superuser to be created.
#[derive(Debug, Clone)]
pub struct NewSuperuser {
    /// Unique whatever its case.
    pub username: Username,
    /// Unique whatever its case.
    pub email: EmailAddress,
    pub name: PersonName,
    /// PHC string.
    pub password_hash: PasswordHash,
}

impl Store {
    /// The account that logs in by this name, whatever its case.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_credentials(&self, name: &LoginName) -> Result<Option<Credentials>, StoreError> {
        let (sql, name) = match name {
            LoginName::Username(username) => (
                concat!(
                    "SELECT ",
                    credentials_columns!(),
                    " FROM users WHERE lower(username COLLATE \"C\") = lower($1 COLLATE \"C\")"
                ),
                username.as_str(),
            ),
            LoginName::Email(email) => (
                concat!(
                    "SELECT ",
                    credentials_columns!(),
                    " FROM users WHERE lower(email COLLATE \"C\") = lower($1 COLLATE \"C\")"
                ),
                email.as_str(),
            ),
        };
        Ok(sqlx::query_as(sql).bind(name).fetch_optional(&self.pool).await?)
    }

    /// The account with this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_profile(&self, user_id: i64) -> Result<Option<Profile>, StoreError> {
        self.profiles.read(user_id).await
    }

    /// The accounts with these ids, by id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_profiles(&self, ids: &[i64]) -> Result<HashMap<i64, Profile>, StoreError> {
        fetch_profiles(&self.pool, ids).await
    }

    /// Whether any superuser exists.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn superuser_exists(&self) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT FROM users WHERE is_superuser)")
            .fetch_one(&self.pool)
            .await?)
    }

    /// Makes this account unless a superuser exists; of several replicas that try at once one succeeds.
    /// Returns whether it was made.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when an ordinary account has the name or the address.
    pub async fn create_first_superuser(&self, user: &NewSuperuser) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // Without the lock two replicas could both see no superuser and make two of different names.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('latchkey.first_superuser'))")
            .execute(&mut *transaction)
            .await?;
        let made = sqlx::query(
            "WITH created AS (
                 INSERT INTO users (username, email, name, password_hash, is_superuser, email_verified_at)
                 SELECT $1, $2, $3, $4, true, now() WHERE NOT EXISTS (SELECT FROM users WHERE is_superuser)
                 RETURNING id)
             INSERT INTO audit_events (kind, user_id) SELECT 'first_superuser_created', id FROM created",
        )
        .bind(user.username.as_str())
        .bind(user.email.as_str())
        .bind(user.name.as_str())
        .bind(&user.password_hash)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(made.rows_affected() == 1)
    }

    /// The hash of an account; `None` while it has no password, or is gone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_password_hash(&self, user_id: i64) -> Result<Option<PasswordHash>, StoreError> {
        let found: Option<Option<PasswordHash>> =
            sqlx::query_scalar("SELECT password_hash FROM users WHERE id = $1")
                .bind(user_id)
                .fetch_optional(&self.pool)
                .await?;
        Ok(found.flatten())
    }

    /// Replaces a hash by one of the same password with other parameters; `false` when it changed meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn replace_hash(
        &self,
        user_id: i64,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
            .bind(user_id)
            .bind(old)
            .bind(new)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}
