//! Ends that Redis knows and PostgreSQL does not.
//!
//! A failover to a standby that had not received the latest transactions loses them, the ends of sessions included. Redis still
//! has what was announced. That Redis lacks a session says nothing unless it is trusted, but that it has one always means
//! that the session has ended.

use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use tracing::Instrument as _;
use uuid::Uuid;

use super::refill::RefillError;
use super::{CHUNK, Revocation};
use crate::redis_connection::Connection;
use crate::store::StoreError;
use crate::telemetry::call_span;

impl Revocation {
    /// Whether Redis has the end of this session, trusted or not. `false` when it cannot answer.
    pub(super) async fn is_end_in_redis(&self, session_id: Uuid) -> bool {
        let (Some(connection), Some(keys)) = (self.redis.connection(), self.trust.keys()) else {
            return false;
        };
        let found: Result<Option<i32>, _> = redis::cmd("GET")
            .arg(keys.revoked(session_id))
            .query_async(&mut connection.stream())
            .instrument(call_span("redis", "GET"))
            .await;
        match found {
            Ok(found) => found.is_some(),
            Err(error) => {
                self.redis.report_failure(&connection, &error);
                false
            }
        }
    }

    /// Whether this session has ended although PostgreSQL may have it as active. If so, it is ended there again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn end_if_lost(&self, session_id: Uuid) -> Result<bool, StoreError> {
        if !self.is_end_in_redis(session_id).await {
            return Ok(false);
        }
        self.store.end_again(&[session_id]).await?;
        Ok(true)
    }

    /// After PostgreSQL was restarted or failed over, ends the sessions there that have ended according to Redis. Redis holds the
    /// name of the server for which this was done the last time.
    pub(super) async fn end_lost_ones(&self, connection: &Connection) -> Result<(), RefillError> {
        let present = (connection.link().id, self.database_started_at.load(Ordering::Relaxed));
        let done = self.ends_compared.lock().is_ok_and(|compared| *compared == Some(present));
        let Some(keys) = self.trust.keys().filter(|_| !done && present.1 != 0) else { return Ok(()) };
        let server = present.1.to_string();
        let before: Option<String> =
            redis::cmd("GET").arg(&keys.database_server).query_async(&mut connection.stream()).await?;
        // Without a name it is an empty Redis.
        if before.is_some_and(|before| before != server) {
            let count = self.compare_ends(connection).await?;
            if count > 0 {
                tracing::warn!(
                    sessions = count,
                    "the database had lost the end of sessions, as after a failover; they were ended again"
                );
            }
        }
        redis::cmd("SET")
            .arg(&keys.database_server)
            .arg(&server)
            .query_async::<()>(&mut connection.stream())
            .await?;
        if let Ok(mut compared) = self.ends_compared.lock() {
            *compared = Some(present);
        }
        Ok(())
    }

    async fn compare_ends(&self, connection: &Connection) -> Result<usize, RefillError> {
        let (mut last, mut count) = (Uuid::nil(), 0);
        loop {
            // It may be moved to another database while this runs.
            let Some(keys) = self.trust.keys() else { return Ok(count) };
            let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
            let active = self.store.active_sessions_after(last, limit).await?;
            let Some(newest) = active.last() else { return Ok(count) };
            last = *newest;
            let names: Vec<_> = active.iter().map(|session| keys.revoked(*session)).collect();
            let found: Vec<Option<i32>> =
                redis::cmd("MGET").arg(&names).query_async(&mut connection.stream()).await?;
            let ended: Vec<_> = active
                .into_iter()
                .zip(found)
                .filter_map(|(session, end)| end.is_some().then_some(session))
                .collect();
            if !ended.is_empty() {
                count += self.store.end_again(&ended).await?.len();
            }
        }
    }

    /// Notes on which server the database runs.
    pub(super) fn see_server(&self, started_at: DateTime<Utc>) {
        self.database_started_at.store(started_at.timestamp_micros(), Ordering::Relaxed);
    }
}
