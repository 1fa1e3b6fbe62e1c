//! The feed of revocations for verifiers that do not ask for each token.
//!
//! Entries are ordered by a position that is assigned after the revocation has been committed. Neither the time nor the id
//! of the transaction could order them: one that began earlier may commit later, and its entry would be added behind a
//! reader that has passed its place. Whoever reads first assigns positions to the committed revocations that have none,
//! under a lock that is held until the commit. So every position below a visible one is visible.
//!
//! Positions belong to one server of the database: after a restart or a failover that lost transactions they may be assigned
//! again.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::domain::clock::KEPT_AFTER_EXPIRY;

/// The most revocations that get a position in one transaction.
pub const PUBLISHED_AT_ONCE: i64 = 1_000;

/// The state of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedHead {
    /// The service and the start of the database server: positions of another one mean nothing here.
    pub server: (Uuid, DateTime<Utc>),
    /// Tokens issued before are of a database that is no more.
    pub tokens_valid_from: DateTime<Utc>,
    /// The highest position.
    pub newest: i64,
    /// Whether there are revocations without a position.
    pub has_unpublished: bool,
    /// Accounts of which the sessions until a time have ended, and are yet to be ended one by one; by their ids.
    pub cutoffs: Vec<SessionCutoff>,
}

/// The sessions of an account that began until `cutoff` have ended, except one.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SessionCutoff {
    pub user_id: i64,
    pub cutoff: DateTime<Utc>,
    pub kept_session_id: Option<Uuid>,
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct FeedEntry {
    pub feed_position: i64,
    /// The `sid`, `jti`, `cred` or one of the `prior_creds` of the tokens.
    pub session_id: Uuid,
    /// When the last of them expires by itself.
    pub expires_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct HeadRow {
    service_id: Uuid,
    server_started_at: DateTime<Utc>,
    tokens_valid_from: DateTime<Utc>,
    newest: i64,
    has_unpublished: bool,
}

impl Store {
    /// Reads the state of the feed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer, [`StoreError::ReadOnly`] when it is a standby.
    pub async fn feed_head(&self) -> Result<FeedHead, StoreError> {
        let mut connection = self.pool.acquire().await?;
        // Read first: when a cutoff is removed, the revocations of its sessions have been committed.
        let cutoffs =
            sqlx::query_as("SELECT user_id, cutoff, kept_session_id FROM session_cutoffs ORDER BY user_id")
                .fetch_all(&mut connection)
                .await?;
        // The last entry of the index tells: the planner would not use the index to look for rows without a position as long
        // as the statistics say that there are many.
        let row: Option<HeadRow> = sqlx::query_as(
            "SELECT service_id, pg_postmaster_start_time() AS server_started_at, tokens_valid_from,
                    coalesce((SELECT max(feed_position) FROM revocations), 0) AS newest,
                    EXISTS (
                        SELECT FROM (
                            SELECT feed_position FROM revocations ORDER BY feed_position DESC NULLS FIRST LIMIT 1
                        ) AS last WHERE feed_position IS NULL) AS has_unpublished
             FROM revocation_state WHERE NOT pg_is_in_recovery()",
        )
        .fetch_optional(&mut connection)
        .await?;
        let row = row.ok_or_else(StoreError::found_standby)?;
        Ok(FeedHead {
            server: (row.service_id, row.server_started_at),
            tokens_valid_from: row.tokens_valid_from,
            newest: row.newest,
            has_unpublished: row.has_unpublished,
            cutoffs,
        })
    }

    /// Gives positions to at most [`PUBLISHED_AT_ONCE`] committed revocations that have none, and returns how many they were.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn publish_revocations(&self) -> Result<i64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('latchkey.revocation_feed'))")
            .execute(&mut *transaction)
            .await?;
        // A row that another transaction has locked gets its position the next time.
        let done = sqlx::query(
            "UPDATE revocations SET feed_position = nextval('revocation_feed_position')
             WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM revocations WHERE feed_position IS NULL
                 ORDER BY feed_position DESC NULLS FIRST LIMIT $1 FOR UPDATE SKIP LOCKED))",
        )
        .bind(PUBLISHED_AT_ONCE)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX))
    }

    /// At most `limit` revocations after a position, in their order, except those whose tokens have expired by every clock.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn feed_page(&self, after: i64, limit: i64) -> Result<Vec<FeedEntry>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT feed_position, session_id, expires_at FROM revocations
             WHERE feed_position > $1 AND expires_at > now() - $3 ORDER BY feed_position LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .bind(KEPT_AFTER_EXPIRY)
        .fetch_all(&self.pool)
        .await?)
    }
}
