//! Waits for conditions. Each wait has a deadline, and its failure says what was awaited and what was last seen.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// The deadline of a condition on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two checks.
const PAUSE: Duration = Duration::from_millis(10);

/// The result of a check: an error that describes what was seen, unless the condition holds.
///
/// # Errors
/// What was seen instead.
pub fn check<S: Debug>(holds: bool, seen: S) -> Result<(), S> {
    if holds { Ok(()) } else { Err(seen) }
}

/// Repeats `check` until it succeeds, and returns its value.
///
/// # Panics
/// When it does not succeed within [`PATIENCE`].
pub async fn until<T, E: Debug, F>(what: &str, check: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
{
    until_within(PATIENCE, PAUSE, what, check).await
}

/// Repeats `read` until it returns `expected`.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub async fn until_equal<T: Debug, E: PartialEq<T> + Debug, F>(
    what: &str,
    expected: E,
    mut read: impl FnMut() -> F,
) where
    F: Future<Output = T>,
{
    let what = format!("{what} to be {expected:?}");
    until(&what, || {
        let next = read();
        let expected = &expected;
        async move {
            let seen = next.await;
            check(*expected == seen, seen)
        }
    })
    .await;
}

/// [`until`] with another deadline and another pause between two checks. A check that does not return is a failure
/// at the deadline too.
///
/// # Panics
/// When the check does not succeed within `patience`.
pub async fn until_within<T, E: Debug, F>(
    patience: Duration,
    pause: Duration,
    what: &str,
    mut check: impl FnMut() -> F,
) -> T
where
    F: Future<Output = Result<T, E>>,
{
    let mut last = None;
    let checks = async {
        loop {
            match check().await {
                Ok(value) => return value,
                Err(seen) => last = Some(seen),
            }
            tokio::time::sleep(pause).await;
        }
    };
    let outcome = tokio::time::timeout(patience, checks).await;
    outcome.unwrap_or_else(|_| panic!("{}", expired(patience, what, last.as_ref())))
}

/// [`until`] for code outside an async runtime.
///
/// # Panics
/// When the check does not succeed within [`PATIENCE`].
pub fn until_blocking<T, E: Debug>(what: &str, check: impl FnMut() -> Result<T, E>) -> T {
    until_blocking_within(PATIENCE, what, check)
}

/// [`until_blocking`] with another deadline.
///
/// # Panics
/// When the check does not succeed within `patience`.
pub fn until_blocking_within<T, E: Debug>(
    patience: Duration,
    what: &str,
    mut check: impl FnMut() -> Result<T, E>,
) -> T {
    let started = Instant::now();
    loop {
        match check() {
            Ok(value) => return value,
            Err(seen) => assert!(started.elapsed() < patience, "{}", expired(patience, what, Some(&seen))),
        }
        std::thread::park_timeout(PAUSE);
    }
}

fn expired(patience: Duration, what: &str, last: Option<&impl Debug>) -> String {
    let last =
        last.map_or_else(|| "nothing, the first check did not return".to_owned(), |seen| format!("{seen:?}"));
    format!("waited {patience:?} for {what}; last seen: {last}")
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::{check, until_blocking_within, until_within};

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    #[should_panic(expected = "waited 50ms for the count to be 2; last seen: 1")]
    async fn a_failure_says_what_was_awaited_and_what_was_last_seen() {
        until_within(SHORT, SHORT / 5, "the count to be 2", async || check(false, 1)).await;
    }

    #[tokio::test]
    #[should_panic(expected = "waited 50ms for an answer; last seen: nothing")]
    async fn a_check_that_never_returns_is_a_failure() {
        until_within(SHORT, SHORT / 5, "an answer", pending::<Result<(), String>>).await;
    }

    #[test]
    #[should_panic(expected = "waited 50ms for the end; last seen: \"running\"")]
    fn a_blocking_wait_has_a_deadline_too() {
        until_blocking_within(SHORT, "the end", || check(false, "running"));
    }
}
