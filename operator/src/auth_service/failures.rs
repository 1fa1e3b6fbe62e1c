//! The failed reconciles of one AuthService in a row, and the delay until the next retry. Pure.

use std::time::{Duration, Instant};

/// The maximum delay between retries.
const MAX_RETRY_DELAY: Duration = Duration::from_mins(2);

/// Failed reconciles in a row.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    count: u32,
    counted: Option<Instant>,
}

impl Failures {
    pub(crate) fn any(&self) -> bool {
        self.count > 0
    }

    /// Counts a failure, and returns the number. Failures before the next retry is due count as one: during a short
    /// outage, many events may trigger a reconcile, and the recovery must not wait for as many doublings of the delay.
    pub(crate) fn count(&mut self, now: Instant) -> u32 {
        let is_early = self.counted.is_some_and(|at| now.duration_since(at) < decide_retry_delay(self.count));
        if !is_early {
            self.count = self.count.saturating_add(1);
            self.counted = Some(now);
        }
        self.count
    }

    /// Forgets them after a success.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Doubles from half a second, up to [`MAX_RETRY_DELAY`].
pub(crate) fn decide_retry_delay(failures: u32) -> Duration {
    Duration::from_millis(500)
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
        .min(MAX_RETRY_DELAY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_delay_grows_and_has_a_limit(failures in 1_u32..1000) {
            let (this, next) = (decide_retry_delay(failures), decide_retry_delay(failures + 1));
            prop_assert!(this >= Duration::from_millis(500) && this <= next && next <= MAX_RETRY_DELAY);
        }

        /// However often events trigger a reconcile during an outage, the retry after it comes about as late as the
        /// outage was long.
        #[test]
        fn a_burst_of_failures_delays_the_recovery_no_longer_than_it_lasted(
            pauses in proptest::collection::vec(0_u64..400, 1..100),
        ) {
            let (mut failures, begun) = (Failures::default(), Instant::now());
            let (mut now, mut delay) = (begun, Duration::ZERO);
            for pause in pauses {
                now += Duration::from_millis(pause);
                delay = decide_retry_delay(failures.count(now));
            }
            prop_assert!(delay <= Duration::from_secs(1) + 2 * now.duration_since(begun), "{delay:?}");
        }
    }

    #[test]
    fn each_retry_counts_and_a_success_begins_again() {
        let (mut failures, mut now) = (Failures::default(), Instant::now());
        for expected in 1..6 {
            let count = failures.count(now);
            assert_eq!(count, expected);
            now += decide_retry_delay(count);
        }
        assert!(failures.any());
        failures.clear();
        assert!(!failures.any());
        assert_eq!(failures.count(now), 1);
    }
}
