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

const SLOTS: usize = 16;
/// The number of slots for reconciles that failed before.
const FAILED_SLOTS: usize = 4;
/// How long a slot is held; a normal reconcile takes a fraction of a second.
const LONGEST_HOLD: Duration = Duration::from_secs(3);
/// The number of reconciles that may continue without a slot.
const OVERFLOW: usize = 64;

#[derive(Debug)]
pub(crate) struct ReconcileSlots {
    all: Semaphore,
    failed: Semaphore,
    overflow: Semaphore,
    longest: Duration,
}

impl Default for ReconcileSlots {
    fn default() -> Self {
        Self {
            all: Semaphore::new(SLOTS),
            failed: Semaphore::new(FAILED_SLOTS),
            overflow: Semaphore::new(OVERFLOW),
            longest: LONGEST_HOLD,
        }
    }
}

impl ReconcileSlots {
    /// Runs `work` when a slot is free. `None` only when the operator stops.
    pub(crate) async fn work<T>(&self, failed_before: bool, work: impl Future<Output = T>) -> Option<T> {
        let slot = self.take(failed_before).await?;
        let mut work = pin!(work);
        if let Ok(done) = tokio::time::timeout(self.longest, &mut work).await {
            return Some(done);
        }
        let _overflow = tokio::select! {
            done = &mut work => return Some(done),
            overflow = self.overflow.acquire() => overflow.ok()?,
        };
        drop(slot);
        Some(work.await)
    }

    async fn take(&self, failed_before: bool) -> Option<SemaphorePermit<'_>> {
        let slots = if failed_before { &self.failed } else { &self.all };
        slots.acquire().await.ok()
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
    async fn a_failed_reconcile_takes_no_slot_of_the_others() {
        let slots = ReconcileSlots::default();
        let mut held = Vec::new();
        while let Some(slot) = slots.take(true).now_or_never() {
            held.push(slot);
        }
        assert_eq!(held.len(), FAILED_SLOTS);
        assert!(slots.take(false).now_or_never().flatten().is_some());
    }

    /// Whether a reconcile gets a slot while this number of others hang.
    async fn gets_slot_after(hanging: usize) -> bool {
        let slots =
            Arc::new(ReconcileSlots { longest: Duration::from_millis(5), ..ReconcileSlots::default() });
        let mut tasks = JoinSet::new();
        let (begun, mut begins) = mpsc::unbounded_channel();
        for _ in 0..hanging {
            let (slots, begun) = (slots.clone(), begun.clone());
            let hang = async move {
                begun.send(()).unwrap();
                pending::<()>().await;
            };
            tasks.spawn(async move { slots.work(false, hang).await });
        }
        for _ in 0..hanging {
            begins.recv().await;
        }
        tokio::time::timeout(Duration::from_millis(500), slots.work(false, async {})).await.is_ok()
    }

    #[tokio::test]
    async fn a_hanging_reconcile_releases_its_slot_up_to_a_limit() {
        assert!(gets_slot_after(OVERFLOW + SLOTS - 1).await);
        assert!(!gets_slot_after(OVERFLOW + SLOTS).await);
    }
}
