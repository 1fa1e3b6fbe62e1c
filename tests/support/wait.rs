//! Waiting for a condition, with a deadline: the only way a test here lets time pass.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks at a condition again and again until it holds, and returns what it found.
///
/// # Panics
/// When it does not hold within [`PATIENCE`]; `what` says in the message what was waited for.
pub async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Like [`until`], for a condition that is an error or a value until it holds: the last one seen is part of
/// the message, so that a failure says what was there instead.
pub async fn until_ok<T, E: Debug, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
{
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) => {
                assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}; last: {last:?}");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same for code outside an async runtime.
pub fn until_blocking<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::park_timeout(PAUSE);
    }
}
