//! The authority of a client that administers with an access token of its own. What a client may do is in the registry, which
//! is not in the database: each transaction asks for it after its locks, and again before it commits.

use std::fmt::Debug;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::StoreError;
use super::pool::Connection;
use crate::domain::{ClientId, Permissions};

/// What the registry says of the client of an access token at this moment.
pub trait ClientStanding: Debug + Send + Sync {
    /// The permissions that the token gives; `None` if the client or the credential of the token is no longer registered.
    ///
    /// # Errors
    /// [`StoreError::UnknownClients`]
    fn permissions(&self) -> Result<Option<Permissions>, StoreError>;
}

/// The access token of a client that administers.
#[derive(Debug, Clone)]
pub struct ClientActor {
    pub client: ClientId,
    /// Of the token.
    pub jti: Uuid,
    /// Of the token.
    pub issued_at: DateTime<Utc>,
    pub standing: Arc<dyn ClientStanding>,
}

impl ClientActor {
    /// The permissions that the client has at this moment.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`] if it is no longer registered, [`StoreError::UnknownClients`]
    pub(super) fn permissions(&self) -> Result<Permissions, StoreError> {
        self.standing.permissions()?.ok_or(StoreError::SessionOver)
    }

    /// Asserts that the token is not revoked. Until the transaction ends, a revocation of it waits. Call it after the rows of
    /// `users` are locked.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`]
    pub(super) async fn lock_token(&self, connection: &mut Connection) -> Result<(), StoreError> {
        sqlx::query(
            "SELECT pg_advisory_xact_lock_shared(hashtextextended('latchkey.client_token ' || $1::text, 0))",
        )
        .bind(self.jti)
        .execute(&mut *connection)
        .await?;
        // In a separate statement, which sees what was committed while this transaction waited for the lock.
        self.check_token(connection).await
    }

    /// Asserts that the token is not revoked.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`]
    pub(super) async fn check_token(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let is_over = token_is_over(connection, self.jti, self.issued_at).await?;
        if is_over { Err(StoreError::SessionOver) } else { Ok(()) }
    }
}

/// Waits for the transactions that act with this token, and makes others wait. Call it before the token is revoked.
pub(super) async fn lock_token_for_revocation(
    connection: &mut Connection,
    jti: Uuid,
) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('latchkey.client_token ' || $1::text, 0))")
        .bind(jti)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether this token of a client was revoked, or is of a database that is no more.
pub(super) async fn token_is_over(
    connection: &mut Connection,
    jti: Uuid,
    issued_at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let (is_over, is_stale): (bool, bool) = sqlx::query_as(
        // Token times have a resolution of one second.
        "SELECT EXISTS (SELECT FROM revocations WHERE session_id = $1)
             OR NOT EXISTS (SELECT FROM revocation_state WHERE date_trunc('second', tokens_valid_from) <= $2),
             pg_is_in_recovery()",
    )
    .bind(jti)
    .bind(issued_at)
    .fetch_one(connection)
    .await?;
    if is_stale { Err(StoreError::found_standby()) } else { Ok(is_over) }
}
