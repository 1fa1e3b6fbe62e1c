//! Ending sessions in the background that are over because of a cutoff.

use std::time::{Duration, Instant};

use super::housekeeping::pause_after;
use crate::store::Store;

/// Between two looks for cutoffs. Until the sessions are ended one by one, checks of their account cost a query.
const INTERVAL: Duration = Duration::from_secs(5);

/// Runs until it is dropped. Every replica does it; each skips the sessions that another one has locked.
pub async fn keep_ending_cut_off_sessions(store: Store) {
    loop {
        let begun = Instant::now();
        let pause = match store.end_cut_off_sessions().await {
            Ok(0) => INTERVAL,
            Ok(_) => pause_after(begun.elapsed()),
            Err(error) => {
                tracing::debug!(%error, "sessions could not be ended in the background; retrying");
                INTERVAL
            }
        };
        tokio::time::sleep(pause).await;
    }
}
