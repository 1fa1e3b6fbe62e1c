//! Accounts.

use super::audit::insert_event;
use super::{Store, StoreError};
use crate::domain::{AuditEvent, AuditKind, EmailAddress, LoginName, Origin, PersonName, Username};

/// What a login needs to know of an account.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Credentials {
    /// The account.
    pub id: i64,
    /// Its name as it was given.
    pub username: String,
    /// PHC string; `None` while the account has no password yet.
    pub password_hash: Option<String>,
    /// Whether anybody has shown to read mail at its address.
    pub is_verified: bool,
    /// Whether it may log in.
    pub is_active: bool,
}

/// What `/me` shows.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Profile {
    /// The account.
    pub id: i64,
    /// Its name as it was given.
    pub username: String,
    /// Its address as it was given.
    pub email: String,
    /// The person's name.
    pub name: String,
    /// Whether it may administer accounts.
    pub is_superuser: bool,
    /// Whether it may log in.
    pub is_active: bool,
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Unique whatever its case.
    pub username: Username,
    /// Unique whatever its case.
    pub email: EmailAddress,
    /// The person's name.
    pub name: PersonName,
    /// PHC string.
    pub password_hash: String,
    /// Whether it may administer accounts.
    pub is_superuser: bool,
}

impl Store {
    /// The account that logs in by this name, whatever its case.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_credentials(&self, name: &LoginName) -> Result<Option<Credentials>, StoreError> {
        let (sql, name) = match name {
            LoginName::Username(username) => (
                "SELECT id, username, password_hash, is_active, email_verified_at IS NOT NULL AS is_verified FROM users WHERE lower(username COLLATE \"C\") = lower($1 COLLATE \"C\")",
                username.as_str(),
            ),
            LoginName::Email(email) => (
                "SELECT id, username, password_hash, is_active, email_verified_at IS NOT NULL AS is_verified FROM users WHERE lower(email COLLATE \"C\") = lower($1 COLLATE \"C\")",
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

    /// Makes an account and records who made it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name or the address is taken: the unique index decides, so that of
    /// two requests at once exactly one succeeds.
    pub async fn create_user(
        &self,
        user: &NewUser,
        created_by: i64,
        origin: &Origin,
    ) -> Result<Profile, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // Who makes the account vouches for its address.
        let profile: Profile = sqlx::query_as(
            "INSERT INTO users (username, email, name, password_hash, is_superuser, email_verified_at)
             VALUES ($1, $2, $3, $4, $5, now())
             RETURNING id, username, email, name, is_superuser, is_active",
        )
        .bind(user.username.as_str())
        .bind(user.email.as_str())
        .bind(user.name.as_str())
        .bind(&user.password_hash)
        .bind(user.is_superuser)
        .fetch_one(&mut *transaction)
        .await?;
        let event = AuditEvent::own(AuditKind::UserCreated, profile.id, origin).by(created_by);
        insert_event(&mut transaction, &event).await?;
        transaction.commit().await?;
        Ok(profile)
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
    pub async fn create_first_superuser(&self, user: &NewUser) -> Result<bool, StoreError> {
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

    /// Replaces a hash by one of the same password with other parameters; `false` when it changed meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn replace_hash(&self, user_id: i64, old: &str, new: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
            .bind(user_id)
            .bind(old)
            .bind(new)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}
