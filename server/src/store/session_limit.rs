//! The limit of sessions of an account.

use serde_json::json;
use uuid::Uuid;

use super::pool::Deadlines;
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
    /// statement. `origin` is that of the login that exceeds the limit. A session that another request has locked is left
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
        let event = session_limit_event(user_id, Uuid::nil(), origin);
        Ok(sqlx::query_as(concat!(
            // OFFSET would lock the sessions that it skips, so that the choice is a query of its own.
            "WITH surplus AS (
                 SELECT id FROM sessions
                 WHERE ended_at IS NULL AND id = ANY (ARRAY(
                     SELECT id FROM (
                         SELECT id, created_at FROM sessions
                         WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()",
            not_cut_off!(),
            "ORDER BY created_at DESC, id OFFSET $2) AS surplus
                     ORDER BY created_at, id DESC LIMIT $3))
                 FOR UPDATE SKIP LOCKED),
             ended AS (
                 UPDATE sessions SET ended_at = now() WHERE id IN (SELECT id FROM surplus)
                 RETURNING id, user_id, access_tokens_expire_at),
             audited AS (
                 INSERT INTO audit_events
                     (kind, outcome, actor_id, user_id, session_id, request_id, address, user_agent, detail)
                 SELECT $4, $5, $6, user_id, id, $7, $8, $9, $10 FROM ended) ",
            insert_revocations!("ended"),
            " RETURNING session_id, expires_at"
        ))
        .bind(user_id)
        .bind(i64::from(limit))
        .bind(BATCH)
        .bind(event.kind.as_str())
        .bind(event.outcome.as_str())
        .bind(event.actor_id)
        .bind(&origin.request_id)
        .bind(origin.address.to_string())
        .bind(origin.user_agent.as_deref())
        .bind(&event.detail)
        .fetch_all(&self.pool.with(Deadlines::LOCKING))
        .await?)
    }
}
