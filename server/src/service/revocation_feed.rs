//! Waiting for changes of the feed of revocations. One task asks the database for all requests that wait, so that a waiting
//! request holds no connection to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::ServiceError;
use crate::crypto::{FeedSigner, KeyRing};
use crate::metrics::{Metrics, StateGauge};
use crate::store::{FeedHead, PUBLISHED_AT_ONCE, Store, StoreError};

/// Between two looks at the database, while a request waits: how much later than its commit a waiting verifier learns of a
/// revocation.
const INTERVAL: Duration = Duration::from_millis(250);
/// The most requests that wait at a replica.
const MAX_WAITING: usize = 200;

/// What the last look at the feed has shown.
enum Look {
    Nothing,
    Head(FeedHead),
    /// The database did not answer; why.
    Failed(String),
    /// The server stops.
    Stopping,
}

/// The state of the feed after committed revocations got their positions.
pub(super) struct Published {
    pub(super) head: FeedHead,
    /// Whether all of them got theirs.
    pub(super) is_complete: bool,
}

pub(super) async fn publish(store: &Store) -> Result<Published, StoreError> {
    let head = store.feed_head().await?;
    if !head.has_unpublished {
        return Ok(Published { head, is_complete: true });
    }
    let is_complete = store.publish_revocations().await? < PUBLISHED_AT_ONCE;
    // A cutoff that was removed since is still listed: the revocations of its sessions may have no positions yet.
    Ok(Published { head: FeedHead { cutoffs: head.cutoffs, ..store.feed_head().await? }, is_complete })
}

/// The feed of revocations at this replica.
pub struct RevocationFeed {
    pub(super) signer: FeedSigner,
    looks: watch::Sender<Look>,
    places: Semaphore,
}

impl RevocationFeed {
    pub(super) fn new(ring: Arc<KeyRing>) -> Arc<Self> {
        Arc::new(Self {
            signer: FeedSigner::new(ring),
            looks: watch::Sender::new(Look::Nothing),
            places: Semaphore::new(MAX_WAITING),
        })
    }

    /// Looks at the feed while requests wait, until `stop`; then no request waits any more.
    pub(super) async fn follow(&self, store: Store, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            if self.looks.receiver_count() > 0 {
                // Published once for all that wait.
                let look = match publish(&store).await {
                    Ok(published) => Look::Head(published.head),
                    Err(error) => Look::Failed(error.to_string()),
                };
                self.looks.send_replace(look);
            }
        }
        self.looks.send_replace(Look::Stopping);
    }

    /// Sets the gauges.
    pub(super) fn measure(&self, metrics: &Metrics) {
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        let [waiting, limit] =
            [MAX_WAITING - self.places.available_permits(), MAX_WAITING].map(|number| number as f64);
        metrics.set_state(StateGauge::FeedReaders, "waiting", waiting);
        metrics.set_state(StateGauge::FeedReaders, "limit", limit);
    }

    /// Waits until the feed differs from what the request has, or the time is over.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] when too many requests wait, or the database does not answer.
    pub(super) async fn wait(
        &self,
        wait: Duration,
        differs: impl Fn(&FeedHead) -> bool,
    ) -> Result<(), ServiceError> {
        let _place = self.places.try_acquire().map_err(|_| {
            ServiceError::Unavailable("too many requests wait for the feed of revocations".to_owned())
        })?;
        let mut looks = self.looks.subscribe();
        let changed = async {
            loop {
                let is_stopping = matches!(*looks.borrow(), Look::Stopping);
                if is_stopping || looks.changed().await.is_err() {
                    return Ok(());
                }
                match &*looks.borrow() {
                    Look::Head(head) if differs(head) => return Ok(()),
                    Look::Failed(cause) => return Err(ServiceError::Unavailable(cause.clone())),
                    Look::Nothing | Look::Head(_) | Look::Stopping => {}
                }
            }
        };
        tokio::time::timeout(wait, changed).await.unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    fn feed() -> Arc<RevocationFeed> {
        RevocationFeed::new(KeyRing::new(std::path::PathBuf::new()))
    }

    #[tokio::test]
    async fn only_so_many_requests_wait() {
        let feed = feed();
        let waiting = (0..=MAX_WAITING).map(|_| feed.wait(Duration::from_millis(50), |_| true));
        let refused = join_all(waiting).await.into_iter().filter(Result::is_err).count();
        assert_eq!(refused, 1);
        feed.wait(Duration::ZERO, |_| true).await.expect("their places are free again");
    }

    #[tokio::test]
    async fn a_stopping_server_lets_no_request_wait() {
        let feed = feed();
        let long = Duration::from_hours(1);
        let waiting = {
            let feed = Arc::clone(&feed);
            tokio::spawn(async move { feed.wait(long, |_| false).await })
        };
        tokio::task::yield_now().await;
        feed.looks.send_replace(Look::Stopping);
        waiting.await.unwrap().unwrap();
        feed.wait(long, |_| false).await.unwrap();
    }
}
