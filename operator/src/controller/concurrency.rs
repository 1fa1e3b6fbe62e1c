//! Limits concurrent reconciles. Waiting for unresponsive servers needs no reconcile slot; only the part that uses
//! the API server and memory does. Reconciles that failed before have separate slots, so that they do not delay
//! others.
//!
//! A slot is held for a limited time: a request that hangs in an admission webhook must not block it. A reconcile
//! that takes longer releases its slot and continues in the overflow. The overflow is limited as well, because more
//! concurrent requests would make a slow API server even slower.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// The number of slots.
const AT_ONCE: usize = 16;
/// The number of slots for reconciles that failed before.
const FAILED_AT_ONCE: usize = 4;
/// How long a slot is held; a normal reconcile takes a fraction of a second.
const LONGEST_TURN: Duration = Duration::from_secs(3);
/// The number of reconciles that may continue without a slot.
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
    /// Runs `work` when a slot is free. `None` only when the operator stops.
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

    /// Whether a reconcile gets a slot while this number of others hang.
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
