//! Deleting expired rows in the background, in small batches that do not slow requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use crate::audit_log;
use crate::metrics::Metrics;
use crate::store::{Expired, HousekeepingRight, Store, StoreError, registration_expired_event};

/// Rows per statement: some milliseconds of work, so that locks and bursts of writes stay short.
const BATCH: u32 = 250;
/// Between two runs of a replica.
const INTERVAL: Duration = Duration::from_mins(5);
/// After a failed run, or when the schema is too old.
const RETRY: Duration = Duration::from_secs(10);
/// The minimum pause between two batches, so that a fast database is not kept busy by this alone.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// Deletes expired rows. Every replica has one; only one of them works at a time.
pub struct Housekeeper {
    pub store: Store,
    pub metrics: Arc<Metrics>,
    /// How long audit events are kept.
    pub audit_retention: TimeDelta,
    /// The age at which an account expires that was registered and neither verified nor used.
    pub unconfirmed_age: TimeDelta,
}

/// The outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// No expired rows are left.
    Completed,
    /// Another replica is working.
    Skipped,
}

impl Housekeeper {
    /// Runs at intervals until it is dropped.
    pub async fn keep_house(self) {
        loop {
            let pause = match self.run().await {
                Ok(run) => {
                    let outcome = if run == Run::Completed { "completed" } else { "skipped" };
                    self.metrics.count_housekeeping_run(outcome);
                    INTERVAL
                }
                Err(error) => {
                    self.metrics.count_housekeeping_run("failed");
                    tracing::warn!(%error, "housekeeping failed; retrying soon");
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn delete_unconfirmed_accounts(&self, right: &HousekeepingRight) -> Result<(), StoreError> {
        loop {
            let begun = Instant::now();
            let deleted = self.store.delete_unconfirmed_accounts(right, self.unconfirmed_age, BATCH).await?;
            if deleted.is_empty() {
                return Ok(());
            }
            self.metrics.count_housekeeping_deleted("users", deleted.len() as u64);
            for user_id in deleted {
                audit_log::emit(&self.metrics, &registration_expired_event(user_id));
            }
            tokio::time::sleep(pause_after(begun.elapsed())).await;
        }
    }

    async fn run(&self) -> Result<Run, StoreError> {
        let Some(right) = self.store.try_housekeeping_right().await? else { return Ok(Run::Skipped) };
        for expired in Expired::ALL {
            let mut deleted = 0;
            loop {
                let begun = Instant::now();
                let rows = self.store.delete_expired(&right, expired, self.audit_retention, BATCH).await?;
                self.metrics.count_housekeeping_deleted(expired.table(), rows);
                deleted += rows;
                if rows < u64::from(BATCH) {
                    break;
                }
                tokio::time::sleep(pause_after(begun.elapsed())).await;
            }
            if deleted > 0 {
                tracing::info!(table = expired.table(), deleted, "expired rows deleted");
            }
        }
        self.delete_unconfirmed_accounts(&right).await?;
        Ok(Run::Completed)
    }
}

/// Twice as long as the batch took: at most a third of one connection's time, and less when the database is busy.
pub(super) fn pause_after(batch: Duration) -> Duration {
    (batch * 2).max(SHORTEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_database_is_given_more_time() {
        assert_eq!(pause_after(Duration::from_millis(1)), SHORTEST_PAUSE);
        assert_eq!(pause_after(Duration::from_millis(300)), Duration::from_millis(600));
    }
}
