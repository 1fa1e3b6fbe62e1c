//! Waits for a condition in the cluster.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long anything may take: pods of several tests start at once on a machine of two cores.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(150);

/// Looks again and again until there is no complaint, and returns what was found.
///
/// # Panics
/// When that takes longer than [`PATIENCE`]; the message ends with the last complaint.
pub async fn wait_for<T, E: Display>(what: &str, mut look: impl AsyncFnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) => {
                assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}: {last}");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
