//! The audit: written with the change that it speaks of, in the same transaction.

use super::pool::Connection;
use serde_json::json;

use super::authority::RowLock;
use super::{Actor, Store, StoreError};
use crate::domain::{AuditEvent, AuditKind, EmailAddress, Origin, Outcome};

/// Binds the columns of an event to the next nine parameters of a statement: `kind`, `outcome`, `actor_id`, `user_id`,
/// `session_id`, `request_id`, `address`, `user_agent`, `detail`.
macro_rules! bind_event {
    ($query:expr, $event:expr) => {{
        let event: &AuditEvent<'_> = $event;
        $query
            .bind(event.kind.as_str())
            .bind(event.outcome.as_str())
            .bind(event.actor_id)
            .bind(event.user_id)
            .bind(event.session_id)
            .bind(event.origin.map(|origin| origin.request_id.as_str()))
            .bind(event.origin.map(|origin| origin.address.to_string()))
            .bind(event.origin.and_then(|origin| origin.user_agent.as_deref()))
            .bind(&event.detail)
    }};
}
pub(super) use bind_event;

impl Store {
    /// Records something that changed nothing, such as a refused login.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn record(&self, event: &AuditEvent<'_>) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        insert_event(&mut connection, event).await
    }

    /// Records something that `actor` was refused.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`]; [`StoreError::Unavailable`] when the database does not answer.
    pub async fn record_as(&self, actor: Actor, event: &AuditEvent<'_>) -> Result<(), StoreError> {
        let mut transaction = self.begin_as(actor, RowLock::Share).await?;
        insert_event(&mut transaction, event).await?;
        Ok(transaction.commit().await?)
    }
}

/// Records something in the transaction that does it.
pub(super) async fn insert_event(
    connection: &mut Connection,
    event: &AuditEvent<'_>,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO audit_events
             (kind, outcome, actor_id, user_id, session_id, request_id, address, user_agent, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    bind_event!(query, event).execute(connection).await?;
    Ok(())
}

/// Records that somebody, who has shown nothing, asked for mail to an address; of the account that has it, if any.
pub(super) async fn record_request<'a>(
    connection: &mut Connection,
    kind: AuditKind,
    email: &EmailAddress,
    origin: &'a Origin,
) -> Result<AuditEvent<'a>, StoreError> {
    let owner = sqlx::query_scalar(
        "SELECT id FROM users WHERE lower(email COLLATE \"C\") = lower($1::text COLLATE \"C\")",
    )
    .bind(email.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let event = AuditEvent {
        kind,
        outcome: Outcome::Success,
        actor_id: None,
        user_id: owner,
        session_id: None,
        origin: Some(origin),
        detail: json!({}),
    };
    insert_event(connection, &event).await?;
    Ok(event)
}
