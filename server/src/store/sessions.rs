//! Sessions: beginning one, ending one.

use super::pool::{Connection, Deadlines};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::audit::{bind_event, insert_event};
use super::authority::{RowLock, Transaction};
use super::devices::MAX_DEVICES;
use super::revocations::insert_revocations;
use super::session_cutoffs::{
    EndedSessions, calls_for_cutoff, cut_off, deletion_calls_for_cutoff, not_cut_off,
};
use super::{Actor, Administrator, RevokedSession, Store, StoreError};
use crate::domain::{AuditEvent, Origin, PasswordHash};

/// The sessions that one statement ends, so that each takes a fraction of a second.
const BATCH: i64 = 5_000;

/// What a request to end one session found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// The session was active; the revocation is to be announced.
    Ended(RevokedSession),
    /// It was active when the request began and ended while it waited.
    EndedMeanwhile,
    /// It had ended already, or is not this account's.
    Over,
}

impl SessionEnd {
    /// The revocation, if it is new.
    pub fn into_revoked(self) -> Option<RevokedSession> {
        match self {
            Self::Ended(revoked) => Some(revoked),
            Self::EndedMeanwhile | Self::Over => None,
        }
    }
}

/// A session to begin after a password was verified.
#[derive(Clone)]
pub struct NewSession<'a> {
    /// Its id, `sid` of its tokens.
    pub id: Uuid,
    pub user_id: i64,
    /// The hash that the password was verified against.
    pub verified_hash: &'a PasswordHash,
    /// `jti` of the first refresh token.
    pub refresh_jti: Uuid,
    /// When the first access token expires.
    pub access_expires_at: DateTime<Utc>,
    /// When the first refresh token expires.
    pub refresh_expires_at: DateTime<Utc>,
    /// Where it comes from.
    pub origin: &'a Origin,
    /// The hash of the device's cookie: one that the account knows, or a new one to know it by.
    pub device: Option<&'a [u8]>,
    /// Whether a program logs in, not a browser.
    pub is_program: bool,
    /// The scopes that a registered client was granted; `None` without one.
    pub scopes: Option<&'a [String]>,
}

impl Store {
    /// Begins a session, and returns how many the account had, without those of concurrent logins. Forgets the devices beyond
    /// [`MAX_DEVICES`]. `None`, and nothing done, when the account was deactivated or its password changed
    /// since it was verified: the row lock makes a concurrent change wait, or be seen.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn begin_session(&self, session: &NewSession<'_>) -> Result<Option<i64>, StoreError> {
        let begun = sqlx::query_scalar(concat!(
            // The setting limits the wait for the row in this statement, as `begin` does for a transaction. PostgreSQL may
            // wait twice: for the queue of the row and for the row.
            "WITH owner AS (
                 SELECT id FROM users
                 WHERE id = $2 AND password_hash = $3 AND is_active
                   AND (SELECT set_config('lock_timeout', $12, true)) IS NOT NULL
                 FOR SHARE),
             begun AS (
                 -- A cutoff that was waited for is before this time.
                 INSERT INTO sessions
                     (id, user_id, created_at, access_tokens_expire_at, expires_at, address, user_agent, scopes)
                 SELECT $1, id, clock_timestamp(), $5, $6, $8, $9, $14 FROM owner RETURNING id, user_id),
             audited AS (
                 INSERT INTO audit_events
                     (kind, actor_id, user_id, session_id, request_id, address, user_agent)
                 SELECT 'login', user_id, user_id, id, $7, $8, $9 FROM begun),
             device AS (
                 INSERT INTO devices (token_hash, user_id, is_program)
                 SELECT $10, user_id, $11 FROM begun WHERE $10 IS NOT NULL
                 ON CONFLICT (token_hash) DO UPDATE SET last_used_at = now()),
             forgotten AS (
                 -- Each of them only loses its own rate limit. OFFSET would lock the devices that it skips.
                 DELETE FROM devices WHERE EXISTS (SELECT FROM begun) AND ctid = ANY (ARRAY(
                     SELECT ctid FROM devices WHERE ctid = ANY (ARRAY(
                         SELECT ctid FROM devices
                         WHERE user_id = $2 AND is_program = $11 AND token_hash <> $10
                         ORDER BY last_used_at DESC, token_hash OFFSET $13))
                     FOR UPDATE SKIP LOCKED)))
             INSERT INTO refresh_tokens (jti, session_id, expires_at) SELECT $4, id, $6 FROM begun
             RETURNING
                 (SELECT count(*) FROM sessions
                  WHERE user_id = $2 AND ended_at IS NULL AND expires_at > now()",
            not_cut_off!(),
            ")"
        ))
        .bind(session.id)
        .bind(session.user_id)
        .bind(session.verified_hash)
        .bind(session.refresh_jti)
        .bind(session.access_expires_at)
        .bind(session.refresh_expires_at)
        .bind(&session.origin.request_id)
        .bind(session.origin.address.to_string())
        .bind(session.origin.user_agent.as_deref())
        .bind(session.device)
        .bind(session.is_program)
        .bind("1s")
        // Without the device of this login.
        .bind(MAX_DEVICES - 1)
        .bind(session.scopes)
        .fetch_optional(&self.pool.with(Deadlines::LOCKING))
        .await?;
        Ok(begun)
    }

    /// Ends a session and records the revocation and the event, in one statement. If it had ended already or is not this
    /// user's, there is no event and nothing new to announce, but announcing again does no harm.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn end_session(
        &self,
        session_id: Uuid,
        user_id: i64,
        event: &AuditEvent<'_>,
    ) -> Result<SessionEnd, StoreError> {
        let query = sqlx::query_as(concat!(
            // The setting limits the wait for the row, as in `begin_session`.
            "WITH ended AS (
                 UPDATE sessions SET ended_at = now()
                 WHERE id = $1 AND user_id = $2 AND ended_at IS NULL",
            not_cut_off!(),
            "AND (SELECT set_config('lock_timeout', '1s', true)) IS NOT NULL
                 RETURNING id, user_id, access_tokens_expire_at),
             audited AS (
                 INSERT INTO audit_events
                     (kind, outcome, actor_id, user_id, session_id, request_id, address, user_agent, detail)
                 SELECT $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM ended),
             revoked AS (",
            insert_revocations!("ended"),
            " RETURNING session_id, expires_at)
             -- The snapshot is from before the wait for the row.
             SELECT session_id, expires_at,
                 session_id IS NULL AND EXISTS (
                     SELECT FROM sessions WHERE id = $1 AND user_id = $2 AND ended_at IS NULL",
            not_cut_off!(),
            ") AS was_active
             FROM (SELECT) AS one LEFT JOIN revoked ON true"
        ))
        .bind(session_id)
        .bind(user_id);
        let row: (Option<Uuid>, Option<DateTime<Utc>>, bool) =
            bind_event!(query, event).fetch_one(&self.pool.with(Deadlines::LOCKING)).await?;
        Ok(match row {
            (Some(session_id), Some(expires_at), _) => {
                SessionEnd::Ended(RevokedSession { session_id, expires_at })
            }
            (_, _, true) => SessionEnd::EndedMeanwhile,
            _ => SessionEnd::Over,
        })
    }

    /// Ends another session of the account that `actor` acts for, likewise.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`]; [`StoreError::Unavailable`] when the database does not answer.
    pub async fn end_own_session(
        &self,
        session_id: Uuid,
        actor: Actor,
        event: &AuditEvent<'_>,
    ) -> Result<Option<RevokedSession>, StoreError> {
        let transaction = self.begin_as(actor, RowLock::Change).await?;
        end_one_and_commit(transaction, (session_id, actor.user_id), event).await
    }

    /// The same for a session of any account, by a superuser.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`], [`StoreError::NotSuperuser`]; [`StoreError::Unavailable`] when the database does
    /// not answer.
    pub async fn end_session_of(
        &self,
        session: (Uuid, i64),
        administrator: &Administrator,
        event: &AuditEvent<'_>,
    ) -> Result<Option<RevokedSession>, StoreError> {
        let target = Some((session.1, RowLock::Change));
        let transaction = self.begin_as_administrator(administrator, target).await?;
        end_one_and_commit(transaction, session, event).await
    }

    /// Whether this session was ended, or never was. What is asked when Redis cannot be trusted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer, [`StoreError::ReadOnly`] when a standby does.
    pub async fn session_is_over(&self, session_id: Uuid) -> Result<bool, StoreError> {
        let (is_over, is_stale): (bool, bool) = sqlx::query_as(concat!(
            "SELECT NOT EXISTS (SELECT FROM sessions WHERE id = $1 AND ended_at IS NULL",
            not_cut_off!(),
            ") OR EXISTS (SELECT FROM revocations WHERE session_id = $1), pg_is_in_recovery()"
        ))
        .bind(session_id)
        .fetch_one(&self.pool)
        .await?;
        // A standby may not have heard of the end yet.
        if is_stale { Err(StoreError::found_standby()) } else { Ok(is_over) }
    }
}

async fn end_one_and_commit(
    mut transaction: Transaction,
    session: (Uuid, i64),
    event: &AuditEvent<'_>,
) -> Result<Option<RevokedSession>, StoreError> {
    let revoked = end_session_of_user(&mut transaction, session.0, session.1).await?;
    if revoked.is_some() {
        insert_event(&mut transaction, event).await?;
        transaction.commit().await?;
    }
    Ok(revoked)
}

/// SQL that ends the active sessions that meet `$condition`, and records and returns their revocations.
macro_rules! end_sessions_where {
    ($condition:literal) => {
        concat!(
            "WITH ended AS (
                 UPDATE sessions SET ended_at = now() WHERE ended_at IS NULL AND ",
            $condition,
            " RETURNING id, user_id, access_tokens_expire_at) ",
            insert_revocations!("ended"),
            " RETURNING session_id, expires_at"
        )
    };
}

pub(super) use end_sessions_where;

/// Ends a session within a transaction; its revocation is to be announced after the commit. `None` when it has ended already
/// or is not this user's.
pub(super) async fn end_session_of_user(
    connection: &mut Connection,
    session_id: Uuid,
    user_id: i64,
) -> Result<Option<RevokedSession>, StoreError> {
    Ok(sqlx::query_as(end_sessions_where!("id = $1 AND user_id = $2"))
        .bind(session_id)
        .bind(user_id)
        .fetch_optional(connection)
        .await?)
}

/// Ends every session of an account but `except` within a transaction; they are to be announced after the commit. Call it
/// after the user's row is locked, in a separate statement: it then sees the sessions of logins that were verified before
/// what the transaction changes, and later ones see the change.
pub(super) async fn end_sessions_of(
    connection: &mut Connection,
    user_id: i64,
    except: Option<Uuid>,
) -> Result<EndedSessions, StoreError> {
    if calls_for_cutoff(connection, user_id, except).await? {
        return cut_off(connection, user_id, except).await;
    }
    end_one_by_one(connection, user_id, except).await
}

/// The same for an account that is deleted in this transaction. Its sessions are deleted too, now or in the background;
/// nothing but their revocations remains.
pub(super) async fn end_sessions_of_deleted(
    connection: &mut Connection,
    user_id: i64,
) -> Result<EndedSessions, StoreError> {
    if deletion_calls_for_cutoff(connection, user_id).await? {
        return cut_off(connection, user_id, None).await;
    }
    let ended = end_one_by_one(connection, user_id, None).await?;
    sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(user_id).execute(connection).await?;
    Ok(ended)
}

async fn end_one_by_one(
    connection: &mut Connection,
    user_id: i64,
    except: Option<Uuid>,
) -> Result<EndedSessions, StoreError> {
    let mut revoked = Vec::new();
    loop {
        let batch: Vec<RevokedSession> = sqlx::query_as(end_sessions_where!(
            "id IN (SELECT id FROM sessions
                    WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND ended_at IS NULL LIMIT $3)"
        ))
        .bind(user_id)
        .bind(except)
        .bind(BATCH)
        .fetch_all(&mut *connection)
        .await?;
        // A batch may be smaller than the limit although more are left: another transaction has ended some of it.
        if batch.is_empty() {
            return Ok(EndedSessions::one_by_one(user_id, revoked));
        }
        revoked.extend(batch);
    }
}
