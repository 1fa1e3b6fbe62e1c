//! Who may work now. Reconciles wait for servers that do not answer beside each other; only what asks the API
//! server and takes memory takes turns, and what failed last time takes turns apart, so that it delays nothing else.
//!
//! A turn has an end: a request that an admission webhook lets hang uses up nothing here. Whoever has been at it for
//! too long passes the turn on and goes on without. Of those, too, there is a limit: when the API server is slow
//! for all, asking it for still more at once would make it slower.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many may work at once.
const AT_ONCE: usize = 16;
/// How many of those that failed last time.
const FAILED_AT_ONCE: usize = 4;
/// How long a turn lasts; an ordinary reconcile takes a part of a second.
const LONGEST_TURN: Duration = Duration::from_secs(3);
/// How many may go on without a turn.
const OVERFLOW: usize = 64;

/// The turns.
#[derive(Debug)]
pub struct ReconcileSlots {
    all: Semaphore,
    failed: Semaphore,
    overflow: Semaphore,
    longest: Duration,
}

impl Default for ReconcileSlots {
    fn default() -> Self {
        Self {
            all: Semaphore::new(AT_ONCE),
            failed: Semaphore::new(FAILED_AT_ONCE),
            overflow: Semaphore::new(OVERFLOW),
            longest: LONGEST_TURN,
        }
    }
}

impl ReconcileSlots {
    /// Works when there is a turn. `None` only when the operator ends.
    pub async fn work<T>(&self, failed_before: bool, work: impl Future<Output = T>) -> Option<T> {
        let turn = self.take(failed_before).await?;
        let mut work = pin!(work);
        if let Ok(done) = tokio::time::timeout(self.longest, &mut work).await {
            return Some(done);
        }
        let _overflow = tokio::select! {
            done = &mut work => return Some(done),
            overflow = self.overflow.acquire() => overflow.ok()?,
        };
        drop(turn);
        Some(work.await)
    }

    async fn take(&self, failed_before: bool) -> Option<SemaphorePermit<'_>> {
        let turns = if failed_before { &self.failed } else { &self.all };
        turns.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use futures::FutureExt;
    use tokio::sync::mpsc;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn what_failed_before_takes_no_turn_of_the_others() {
        let turns = ReconcileSlots::default();
        let mut held = Vec::new();
        while let Some(turn) = turns.take(true).now_or_never() {
            held.push(turn);
        }
        assert_eq!(held.len(), FAILED_AT_ONCE);
        assert!(turns.take(false).now_or_never().flatten().is_some());
    }

    /// Whether somebody gets a turn after so many that hang, within far more than the turns that takes.
    async fn comes_after(hanging: usize) -> bool {
        let turns =
            Arc::new(ReconcileSlots { longest: Duration::from_millis(5), ..ReconcileSlots::default() });
        let mut tasks = JoinSet::new();
        let (begun, mut begins) = mpsc::unbounded_channel();
        for _ in 0..hanging {
            let (turns, begun) = (turns.clone(), begun.clone());
            let hang = async move {
                begun.send(()).unwrap();
                pending::<()>().await;
            };
            tasks.spawn(async move { turns.work(false, hang).await });
        }
        for _ in 0..hanging {
            begins.recv().await;
        }
        tokio::time::timeout(Duration::from_millis(500), turns.work(false, async {})).await.is_ok()
    }

    #[tokio::test]
    async fn what_hangs_passes_its_turn_on_up_to_a_limit() {
        assert!(comes_after(OVERFLOW + AT_ONCE - 1).await);
        assert!(!comes_after(OVERFLOW + AT_ONCE).await);
    }
}
