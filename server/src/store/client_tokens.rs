//! Revocations of clients' tokens, and the assertions that clients have used. A client has no session: each of its tokens is
//! revoked by its `jti`, in the table in which people's tokens are revoked by their `sid`.

use std::time::Instant;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::audit::insert_event;
use super::client_authority::{lock_token_for_revocation, token_is_over};
use super::recent_ends::may_be_unannounced;
use super::{Administrator, RevokedSession, Store, StoreError};
use crate::domain::AuditEvent;

impl Store {
    /// Whether this token of a client was revoked, or is of a database that is no more. What is asked when Redis cannot be
    /// trusted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer, [`StoreError::ReadOnly`] when a standby does.
    pub async fn client_token_is_over(
        &self,
        jti: Uuid,
        issued_at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let mut connection = self.pool.acquire().await?;
        token_is_over(&mut connection, jti, issued_at).await
    }

    /// Revokes a token of a client, as soon as no transaction acts with it, and records the event; on behalf of a superuser
    /// if one is given. `None` when it was revoked before.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`], [`StoreError::NotSuperuser`]; [`StoreError::Unavailable`] when the database does not
    /// answer.
    pub async fn revoke_client_token(
        &self,
        (jti, expires_at): (Uuid, DateTime<Utc>),
        administrator: Option<&Administrator>,
        event: &AuditEvent<'_>,
    ) -> Result<Option<RevokedSession>, StoreError> {
        let mut transaction = match administrator {
            Some(administrator) => self.begin_as_administrator(administrator, None).await?,
            None => self.pool.begin().await?,
        };
        lock_token_for_revocation(&mut transaction, jti).await?;
        let revoked = sqlx::query_as(
            "INSERT INTO revocations (session_id, expires_at) VALUES ($1, $2)
             ON CONFLICT (session_id) DO NOTHING RETURNING session_id, expires_at",
        )
        .bind(jti)
        .bind(expires_at)
        .fetch_optional(&mut *transaction)
        .await?;
        if revoked.is_some() {
            insert_event(&mut transaction, event).await?;
        }
        transaction.commit().await?;
        Ok(revoked)
    }

    /// The revocation of this token of a client, if it is recent: see [`Store::recent_ends`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn recent_client_token_end(&self, jti: Uuid) -> Result<Option<RevokedSession>, StoreError> {
        let sql = concat!(
            "SELECT session_id, expires_at FROM revocations WHERE session_id = $1 AND ",
            may_be_unannounced!()
        );
        let found = sqlx::query_as(sql).bind(jti).bind(self.snapshots.old_enough(Instant::now()));
        Ok(found.fetch_optional(&self.pool).await?)
    }

    /// Uses an assertion of a client up: returns whether nobody has used it before. It is remembered like a revoked token,
    /// which cannot be used again either.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::ReadOnly`] when the database does not store it.
    pub async fn use_client_assertion(&self, id: Uuid, until: DateTime<Utc>) -> Result<bool, StoreError> {
        let stored = sqlx::query(
            "INSERT INTO revocations (session_id, expires_at) VALUES ($1, $2) ON CONFLICT (session_id) DO NOTHING",
        )
        .bind(id)
        .bind(until)
        .execute(&self.pool)
        .await?;
        Ok(stored.rows_affected() == 1)
    }
}
