//! Waits for a condition in the cluster.

use std::fmt::Debug;
use std::time::Duration;

use latchkey_tests::wait::until_within;

/// The deadline of a condition: the pods of several tests start concurrently on a machine with two cores.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The pause between two checks, each of which may run a program in a pod.
const PAUSE: Duration = Duration::from_millis(150);

/// Repeats `check` until it succeeds, and returns its value.
///
/// # Panics
/// When it does not succeed within [`PATIENCE`].
pub async fn wait_for<T, E: Debug, F>(what: &str, check: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
{
    until_within(PATIENCE, PAUSE, what, check).await
}
