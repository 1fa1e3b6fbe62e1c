//! The limit of sessions of an account.

use serde_json::json;
use uuid::Uuid;

use super::audit::insert_event;
use super::revocations::insert_revocations;
use super::session_cutoffs::not_cut_off;
use super::{RevokedSession, Store, StoreError};
use crate::domain::{AuditEvent, AuditKind, Origin, Outcome};

/// The sessions that one login ends at most. After the limit was lowered, several logins reach it.
const BATCH: i64 = 500;

/// The event of a session that was ended because a newer one exceeded the limit.
pub fn session_limit_event(user_id: i64, session_id: Uuid, origin: &Origin) -> AuditEvent<'_> {
    AuditEvent {
        kind: AuditKind::SessionEnded,
        outcome: Outcome::Success,
        actor_id: None,
        user_id: Some(user_id),
        session_id: Some(session_id),
        origin: Some(origin),
        detail: json!({ "reason": "session_limit" }),
    }
}

impl Store {
    /// Ends the oldest sessions of an account beyond `limit`, and records the revocations and the events, in one
    /// transaction. `origin` is that of the login that exceeds the limit. A session that another request has locked is left
    /// to that request, or to the next login.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn end_surplus_sessions(
        &self,
        user_id: i64,
        limit: u32,
        origin: &Origin,
    ) -> Result<Vec<RevokedSession>, StoreError> {
        // Most logins exceed nothing and need no transaction.
        let surplus: Vec<Uuid> = sqlx::query_scalar(concat!(
            "SELECT id FROM (
                 SELECT id, created_at FROM sessions
                 WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()",
            not_cut_off!(),
            "ORDER BY created_at DESC, id OFFSET $2) AS surplus
             ORDER BY created_at, id DESC LIMIT $3"
        ))
        .bind(user_id)
        .bind(i64::from(limit))
        .bind(BATCH)
        .fetch_all(&self.pool)
        .await?;
        if surplus.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.pool.begin().await?;
        let revoked: Vec<RevokedSession> = sqlx::query_as(concat!(
            "WITH surplus AS (
                 SELECT id FROM sessions WHERE id = ANY ($1) AND ended_at IS NULL
                 FOR UPDATE SKIP LOCKED),
             ended AS (
                 UPDATE sessions SET ended_at = now() WHERE id IN (SELECT id FROM surplus)
                 RETURNING id, user_id, access_tokens_expire_at) ",
            insert_revocations!("ended"),
            " RETURNING session_id, expires_at"
        ))
        .bind(&surplus)
        .fetch_all(&mut *transaction)
        .await?;
        let events: Vec<_> =
            revoked.iter().map(|session| session_limit_event(user_id, session.session_id, origin)).collect();
        for event in &events {
            insert_event(&mut transaction, event).await?;
        }
        transaction.commit().await?;
        Ok(revoked)
    }
}
