//! Reporting how far a migration is that takes longer than a few seconds.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, interval_at};

use crate::store::pool::{Deadlines, Pool, Transaction};

/// The time between two reports.
const INTERVAL: Duration = Duration::from_secs(5);

/// What the migration waits for, or how much of an index it has built. PostgreSQL counts other things in each phase.
const DETAIL: &str = "
    SELECT phase || CASE WHEN total > 0 THEN ', ' || 100 * done / total || '%' ELSE '' END
    FROM (SELECT phase,
                 CASE WHEN phase LIKE 'waiting%' THEN lockers_total
                      WHEN phase LIKE '%tuples%' THEN tuples_total ELSE blocks_total END AS total,
                 CASE WHEN phase LIKE 'waiting%' THEN lockers_done
                      WHEN phase LIKE '%tuples%' THEN tuples_done ELSE blocks_done END AS done
          FROM pg_stat_progress_create_index WHERE datname = current_database()) AS building
    UNION ALL
    SELECT 'waiting for a lock' FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'latchkey-migrate%' AND wait_event_type = 'Lock'
    LIMIT 1";

/// Reports to the person who migrates.
#[derive(Clone, Copy)]
pub struct Progress<'a> {
    report: &'a (dyn Fn(&str) + Sync),
}

impl<'a> Progress<'a> {
    /// `report` is called with a sentence every few seconds.
    pub fn new(report: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self { report }
    }

    /// Reports how long `work` on this migration takes until it is done. Meanwhile `guard` is used now and then, so that
    /// neither PostgreSQL nor a connection pooler ends its transaction.
    pub(super) async fn follow<T>(
        self,
        pool: &Pool,
        version: i64,
        mut guard: Option<&mut Transaction>,
        work: impl Future<Output = T>,
    ) -> T {
        let began = Instant::now();
        let mut ticks = interval_at(began + INTERVAL, INTERVAL);
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = work.as_mut() => return done,
                _ = ticks.tick() => {}
            }
            let report = async {
                if let Some(guard) = &mut guard {
                    // Without the guard another process may begin too, and waits for the index that this one builds.
                    let _ = sqlx::query("SELECT 1").execute(&mut ***guard).await;
                }
                let detail = find_detail(pool).await.map_or(String::new(), |detail| format!(": {detail}"));
                let seconds = began.elapsed().as_secs();
                (self.report)(&format!("the migration {version} has been running for {seconds} s{detail}"));
            };
            tokio::select! {
                done = work.as_mut() => return done,
                () = report => {}
            }
        }
    }
}

/// `None` also when the database does not answer: the migration has its own deadline.
async fn find_detail(pool: &Pool) -> Option<String> {
    sqlx::query_scalar(DETAIL).fetch_optional(&pool.with(Deadlines::REQUEST)).await.ok().flatten()
}
