//! Background tasks that keep a replica's trust in Redis justified: they ask PostgreSQL and Redis periodically, sweep, and
//! refill Redis when it has lost data.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Revocation;
use super::TRUST;
use super::refill::{Outcome, RefillError};
use crate::domain::clock::ClockOffset;
use crate::redis_connection::{Connection, MayForget};
use crate::store::StoreError;

/// The time between two checks of whether Redis has to be refilled.
const REFILL_INTERVAL: Duration = Duration::from_millis(500);
/// The time between two sweeps: the longest that a revocation stays unknown to Redis if its replica ended before it announced it.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);

impl Revocation {
    /// Keeps the trust fresh and Redis complete until `stop`.
    pub async fn keep_up(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_confirmed() => {}
            () = self.keep_verified() => {}
            () = self.keep_refilled() => {}
        }
    }

    /// Asks PostgreSQL which copy is trusted.
    async fn keep_confirmed(&self) {
        let mut ticks = ticks();
        loop {
            ticks.tick().await;
            // Without an answer the trust runs out by itself.
            let _ = self.fetch_state().await;
        }
    }

    /// Asks Redis whose data it holds.
    async fn keep_verified(&self) {
        let mut ticks = ticks();
        loop {
            ticks.tick().await;
            let Some(connection) = self.redis.connection() else { continue };
            match self.redis.verify(&connection).await {
                Ok(Some(asked_at)) => self.trust.verify(&connection, asked_at),
                Ok(None) => self.recheck.notify_one(),
                Err(fault) => {
                    self.record_fault(fault);
                    self.recheck.notify_one();
                }
            }
        }
    }

    /// While Redis was set up to forget, it may have forgotten revocations and kept its marker: the trust of every replica is
    /// to be withdrawn.
    fn record_fault(&self, fault: MayForget) {
        // A replica whose own clock is wrong must not take Redis away from all others.
        let blames_itself =
            fault == MayForget::ClockOff && self.trust.clock().is_none_or(ClockOffset::exceeds_margin);
        if !blames_itself {
            self.withdrawal_due.store(true, Ordering::Relaxed);
        }
    }

    /// Makes every replica ask PostgreSQL until Redis has been refilled, if that is due. Until PostgreSQL has taken it,
    /// this replica does not sweep and so trusts no new connection.
    async fn withdraw_if_due(&self) -> Result<(), StoreError> {
        if self.withdrawal_due.load(Ordering::Relaxed) {
            if self.fetch_state().await?.redis_epoch.is_some() {
                self.store.distrust_redis().await?;
            }
            self.withdrawal_due.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn keep_refilled(&self) {
        loop {
            if let Err(fault) = self.redis.ensure_connected().await {
                self.record_fault(fault);
            }
            let withdrawn = self.withdraw_if_due().await;
            if let Some(connection) = self.redis.connection() {
                let result = match withdrawn {
                    Ok(()) => self.refill_or_sweep(&connection).await,
                    Err(error) => Err(error.into()),
                };
                self.report(&connection, result);
            }
            tokio::select! {
                () = tokio::time::sleep(REFILL_INTERVAL) => {}
                () = self.recheck.notified() => {}
            }
        }
    }

    async fn refill_or_sweep(&self, connection: &Connection) -> Result<Outcome, RefillError> {
        self.end_lost_ones(connection).await?;
        let outcome = self.refill_if_needed(connection).await?;
        let due = self.trust.swept_at(connection).is_none_or(|at| at.elapsed() >= SWEEP_INTERVAL);
        if matches!(outcome, Outcome::NothingToDo) && due {
            self.sweep(connection).await?;
        }
        Ok(outcome)
    }

    /// Copies to Redis what was committed since the last sweep, however long ago that was. A replica may have ended after
    /// it committed a revocation and before it announced it: it has answered no request, but the tokens must be refused.
    async fn sweep(&self, connection: &Connection) -> Result<(), RefillError> {
        let begun_at = Instant::now();
        let Some(keys) = self.trust.keys() else { return Ok(()) };
        let now = self.store.sweep_cursor().await?;
        let last = self.cursor.lock().ok().and_then(|cursor| cursor.clone());
        // Everything the first time, and when the database is not the one that the last sweep saw.
        let since = last.and_then(|last| last.next_transaction(&now));
        self.copy_revocations(connection, &keys, since).await?;
        // A refill that starts from now on reads what was committed until now. If another Redis was refilled meanwhile, it
        // may have read less, and the next sweep must not go on from this one.
        if self.is_complete(connection).await? {
            self.record_sweep(connection, begun_at, now);
        }
        Ok(())
    }

    fn report(&self, connection: &Connection, result: Result<Outcome, RefillError>) {
        match result {
            Ok(Outcome::Filled(count)) => {
                tracing::info!(revocations = count, "Redis was refilled from PostgreSQL and is trusted");
            }
            Ok(Outcome::NothingToDo | Outcome::AnotherReplica) => {}
            Ok(Outcome::Interrupted) => {
                tracing::info!("a revocation interrupted the refill of Redis; retrying");
            }
            Err(RefillError::Redis(error)) => self.redis.report_failure(connection, &error),
            Err(RefillError::Store(error)) => {
                tracing::debug!(%error, "Redis cannot be checked against PostgreSQL now");
            }
        }
    }
}

/// Four times in the time that an answer is good for.
fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(TRUST / 4);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}
