//! Ends of sessions that may not be known to every replica yet, because the request that ended them was interrupted before it
//! announced them. Whoever asks for the same again, or is refused because of them, announces them again.
//!
//! Only recent ends: an announcement that cannot reach a trusted Redis withdraws the trust of all replicas in theirs, and the
//! owner of a token that was revoked long ago must not be able to cause that again and again.

use std::time::Instant;

use uuid::Uuid;

use super::pool::Connection;
use super::session_cutoffs::{EndedSessions, ONE_MORE};
use super::{RevokedSession, Store, StoreError};

/// SQL that holds for rows of `revocations` that a replica which trusts a Redis need not have read: the transaction had not
/// ended in the snapshot `$2` (see `snapshots.rs`). A replica that has just started has none. The time bounds what it
/// announces, and is longer than any transaction of a request takes.
macro_rules! may_be_unannounced {
    () => {
        " revoked_at > now() - interval '5 minutes'
          AND ($2::text IS NULL OR transaction_id IS NULL
               OR NOT pg_visible_in_snapshot(transaction_id::text::xid8, $2::text::pg_snapshot)) "
    };
}
pub(super) use may_be_unannounced;

impl Store {
    /// The end of this session, if it is recent. If a cutoff has ended the sessions of the account recently, the account is
    /// to be announced.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn recent_end(&self, session_id: Uuid, user_id: i64) -> Result<EndedSessions, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let has_cutoff = has_recent_cutoff(&mut connection, user_id).await?;
        let revoked = sqlx::query_as(concat!(
            "SELECT session_id, expires_at FROM revocations WHERE session_id = $1 AND ",
            may_be_unannounced!()
        ))
        .bind(session_id)
        .bind(self.snapshots.old_enough(Instant::now()))
        .fetch_all(&mut connection)
        .await?;
        Ok(EndedSessions { has_more: has_cutoff, ..EndedSessions::one_by_one(user_id, revoked) })
    }

    /// The recent ends of an account, which may have been deleted, and of this session.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn recent_ends(
        &self,
        user_id: i64,
        session_id: Option<Uuid>,
    ) -> Result<EndedSessions, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let mut ended = self.recent_ends_in(&mut connection, user_id).await?;
        drop(connection);
        if let Some(session_id) = session_id {
            // A server of an earlier schema may have deleted the account.
            let own = self.recent_end(session_id, user_id).await?;
            ended.sessions.extend(own.sessions);
        }
        Ok(ended)
    }

    /// The same within a transaction.
    pub(super) async fn recent_ends_in(
        &self,
        connection: &mut Connection,
        user_id: i64,
    ) -> Result<EndedSessions, StoreError> {
        let has_cutoff = has_recent_cutoff(connection, user_id).await?;
        // Rows of servers of earlier schemas do not name the account.
        let revoked: Vec<RevokedSession> = sqlx::query_as(concat!(
            "SELECT session_id, expires_at FROM revocations WHERE user_id = $1 AND ",
            may_be_unannounced!(),
            "UNION ALL
             SELECT session_id, revocations.expires_at
             FROM sessions JOIN revocations ON session_id = sessions.id
             WHERE sessions.user_id = $1 AND ended_at > now() - interval '5 minutes' AND ended_at IS NOT NULL
               AND revocations.user_id IS NULL AND ",
            may_be_unannounced!(),
            "LIMIT $3"
        ))
        .bind(user_id)
        .bind(self.snapshots.old_enough(Instant::now()))
        .bind(ONE_MORE)
        .fetch_all(&mut *connection)
        .await?;
        let ended = EndedSessions::one_by_one(user_id, revoked);
        Ok(EndedSessions { has_more: ended.has_more || has_cutoff, ..ended })
    }
}

/// Asked before the revocations are read: when a cutoff is removed, they have been recorded.
async fn has_recent_cutoff(connection: &mut Connection, user_id: i64) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (
                   SELECT FROM session_cutoffs WHERE user_id = $1 AND cutoff > now() - interval '5 minutes')";
    Ok(sqlx::query_scalar(sql).bind(user_id).fetch_one(connection).await?)
}

#[cfg(test)]
#[path = "recent_ends_tests.rs"]
mod tests;
