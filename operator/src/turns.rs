//! Who may work now. Reconciles wait for servers that do not answer beside each other; only what asks the API
//! server and takes memory takes turns, and what failed last time takes turns apart, so that it delays nothing else.

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many may work at once.
const AT_ONCE: usize = 16;
/// How many of those that failed last time.
const FAILED_AT_ONCE: usize = 4;

/// The turns.
#[derive(Debug)]
pub struct Turns {
    all: Semaphore,
    failed: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Semaphore::new(AT_ONCE), failed: Semaphore::new(FAILED_AT_ONCE) }
    }
}

impl Turns {
    /// Waits for a turn, which lasts until the result is dropped. `None` only when the operator ends.
    pub async fn take(&self, failed_before: bool) -> Option<SemaphorePermit<'_>> {
        let turns = if failed_before { &self.failed } else { &self.all };
        turns.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_failed_before_takes_no_turn_of_the_others() {
        let turns = Turns::default();
        let mut held = Vec::new();
        while let Some(turn) = turns.take(true).now_or_never() {
            held.push(turn);
        }
        assert_eq!(held.len(), FAILED_AT_ONCE);
        assert!(turns.take(false).now_or_never().flatten().is_some());
    }
}
