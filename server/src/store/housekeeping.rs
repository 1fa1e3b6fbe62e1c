//! Deleting expired rows, in small batches.

use chrono::TimeDelta;

use super::pool::{Deadlines, Transaction};
use super::{Store, StoreError};
use crate::domain::clock::KEPT_AFTER_EXPIRY;

/// The kinds of expired rows.
///
/// Rows that strict revocation needs are kept (docs/decisions/0002): a revocation as long as an access token of its
/// session may be valid, and a session as long as one of its tokens may be. If PostgreSQL answers a revocation check, a
/// session that does not exist counts as ended, so that deleting a session can only cause rejections. If Redis answers,
/// the access tokens of a deleted session are rejected because they have expired. Each replica judges expiry by its own
/// clock; therefore both kinds of rows, like their copies in Redis, are kept for [`KEPT_AFTER_EXPIRY`] longer.
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
    /// Messages that were given up and whose retention is over.
    DeadMail,
    /// Devices whose last login is older than the retention.
    Devices,
}

/// How long a message that was given up is kept.
pub const DEAD_MAIL_RETENTION: TimeDelta = TimeDelta::days(30);
/// How long a device is remembered after its last login.
pub const DEVICE_RETENTION: TimeDelta = TimeDelta::days(365);

/// Deletes at most `$1` rows of a table, beginning with the smallest value of a column: those of which this column is more
/// than `$2` ago, or those for which a condition holds. Rows that a request has locked are skipped, so that neither waits
/// for the other. The rows are found by an index and deleted by their physical location.
macro_rules! delete_oldest {
    ($table:literal, $column:literal) => {
        delete_oldest!($table, $column, $column, " < now() - $2")
    };
    ($table:literal, $column:literal, $($condition:literal),+) => {
        concat!(
            "DELETE FROM ", $table, " WHERE ctid = ANY (ARRAY(SELECT ctid FROM ", $table, " WHERE ", $($condition,)+
            " ORDER BY ", $column, " LIMIT $1 FOR UPDATE SKIP LOCKED))"
        )
    };
}

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

    /// One batch: at most `$1` rows whose time is more than `$2` ago.
    fn statement(self) -> &'static str {
        match self {
            Self::Sessions => delete_oldest!(
                "sessions",
                "expires_at",
                "expires_at < now() - $2 AND access_tokens_expire_at < now() - $2"
            ),
            Self::EndedSessions => delete_oldest!(
                "sessions",
                "access_tokens_expire_at",
                "ended_at IS NOT NULL AND access_tokens_expire_at < now() - $2"
            ),
            Self::Revocations => delete_oldest!("revocations", "expires_at"),
            Self::OneTimeTokens => delete_oldest!("one_time_tokens", "expires_at"),
            Self::AuditEvents => delete_oldest!("audit_events", "at"),
            Self::DeadMail => delete_oldest!("outbox", "dead_at"),
            Self::Devices => delete_oldest!("devices", "last_used_at"),
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

/// The right to delete. Its transaction holds an advisory lock, which ends with the connection at the latest, and no
/// snapshot, so that PostgreSQL can vacuum the deleted rows while the run continues.
pub struct HousekeepingRight {
    _transaction: Transaction,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use latchkey_tests::documentation::{code_spans, read, rows};

    use super::*;

    #[test]
    fn the_documentation_lists_every_table_of_which_rows_are_deleted() {
        let listed: BTreeSet<_> = rows(&read("docs/reference/data-retention.md"))
            .iter()
            .map(|row| code_spans(&row[0]).swap_remove(0))
            .collect();
        let mut tables: BTreeSet<_> =
            Expired::ALL.into_iter().map(|expired| expired.table().to_owned()).collect();
        // Accounts that were registered and not used are not rows that expire by themselves.
        tables.insert("users".to_owned());
        // Removed with the last session that they end.
        tables.insert("session_cutoffs".to_owned());
        assert_eq!(listed, tables);
    }
}
