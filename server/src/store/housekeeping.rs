//! Deleting expired rows, in small batches.

use chrono::TimeDelta;

use super::pool::{Deadlines, Transaction};
use super::{Store, StoreError};
use crate::domain::clock::KEPT_AFTER_EXPIRY;

/// The kinds of expired rows.
///
/// What strict revocation needs stays (docs/decisions/0002). A revocation is needed while an access token of its
/// session could be unexpired. A session is needed while one of its tokens could be: where PostgreSQL answers, a
/// session that does not exist counts as over, so deleting one can only refuse tokens, never let them in; and
/// where Redis answers, what keeps its access tokens out is that they have expired. Expiry is judged by each
/// replica's own clock, so both are kept for [`KEPT_AFTER_EXPIRY`] longer, as Redis keeps its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// Sessions whose refresh token and access tokens have expired, with their refresh tokens.
    Sessions,
    /// Sessions that were ended and whose access tokens have expired, with their refresh tokens.
    EndedSessions,
    /// Revocations of sessions whose access tokens have expired.
    Revocations,
    /// One-time tokens, used or not, that have expired.
    OneTimeTokens,
    /// Audit events older than the retention.
    AuditEvents,
    /// Messages given up long ago.
    DeadMail,
    /// Devices that have not logged in for long.
    Devices,
}

/// How long a message that was given up is kept.
pub const DEAD_MAIL_RETENTION: TimeDelta = TimeDelta::days(30);
/// How long a device is remembered after its last login.
pub const DEVICE_RETENTION: TimeDelta = TimeDelta::days(365);

impl Expired {
    /// All kinds, the largest last.
    pub const ALL: [Self; 7] = [
        Self::OneTimeTokens,
        Self::DeadMail,
        Self::Devices,
        Self::Revocations,
        Self::EndedSessions,
        Self::Sessions,
        Self::AuditEvents,
    ];

    /// The name of the table, as in metrics.
    pub fn table(self) -> &'static str {
        match self {
            Self::Sessions | Self::EndedSessions => "sessions",
            Self::Revocations => "revocations",
            Self::OneTimeTokens => "one_time_tokens",
            Self::AuditEvents => "audit_events",
            Self::DeadMail => "outbox",
            Self::Devices => "devices",
        }
    }

    /// How long after the time in its row a row is kept.
    fn retention(self, audit_retention: TimeDelta) -> TimeDelta {
        match self {
            Self::Sessions | Self::EndedSessions | Self::Revocations | Self::OneTimeTokens => {
                KEPT_AFTER_EXPIRY
            }
            Self::AuditEvents => audit_retention,
            Self::DeadMail => DEAD_MAIL_RETENTION,
            Self::Devices => DEVICE_RETENTION,
        }
    }

    /// One batch: at most `$1` rows whose time is more than `$2` ago. A row that a request holds is left for the
    /// next time: neither waits for the other. The rows are found by an index and deleted where they lie.
    fn statement(self) -> &'static str {
        match self {
            Self::Sessions => {
                "DELETE FROM sessions WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM sessions
                     WHERE expires_at < now() - $2 AND access_tokens_expire_at < now() - $2
                     ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))"
            }
            Self::EndedSessions => {
                "DELETE FROM sessions WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM sessions
                     WHERE ended_at IS NOT NULL AND access_tokens_expire_at < now() - $2
                     ORDER BY access_tokens_expire_at LIMIT $1 FOR UPDATE SKIP LOCKED))"
            }
            Self::Revocations => {
                "DELETE FROM revocations WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM revocations WHERE expires_at < now() - $2
                     ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))"
            }
            Self::OneTimeTokens => {
                "DELETE FROM one_time_tokens WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM one_time_tokens WHERE expires_at < now() - $2
                     ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))"
            }
            Self::AuditEvents => {
                "DELETE FROM audit_events WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM audit_events WHERE at < now() - $2
                     ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED))"
            }
            Self::DeadMail => {
                "DELETE FROM outbox WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM outbox WHERE dead_at < now() - $2
                     ORDER BY dead_at LIMIT $1 FOR UPDATE SKIP LOCKED))"
            }
            Self::Devices => {
                "DELETE FROM devices WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM devices WHERE last_used_at < now() - $2
                     ORDER BY last_used_at LIMIT $1 FOR UPDATE SKIP LOCKED))"
            }
        }
    }
}

impl Store {
    /// Takes the right to delete until the guard is dropped; `None` when another replica has it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn try_housekeeping_right(&self) -> Result<Option<HousekeepingRight>, StoreError> {
        let mut transaction = self.pool.begin_guard().await?;
        let granted: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtext('latchkey.housekeeping'))")
                .fetch_one(&mut *transaction)
                .await?;
        Ok(granted.then_some(HousekeepingRight { _transaction: transaction }))
    }

    /// Deletes up to `limit` rows of a kind and returns how many they were.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn delete_expired(
        &self,
        _right: &HousekeepingRight,
        expired: Expired,
        audit_retention: TimeDelta,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query(expired.statement())
            .bind(i64::from(limit))
            .bind(expired.retention(audit_retention))
            .execute(&self.pool.with(Deadlines::BULK))
            .await?;
        Ok(done.rows_affected())
    }
}

/// The right to delete; its transaction holds an advisory lock, which ends with the connection at the latest. It
/// holds no snapshot, so that what is deleted under it can be vacuumed meanwhile.
pub struct HousekeepingRight {
    _transaction: Transaction,
}
