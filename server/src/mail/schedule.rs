//! The retry schedule.

use std::time::Duration;

use chrono::TimeDelta;

use super::failure::FailureClass;

/// The timeout of a whole attempt. Each SMTP command also has a timeout, but an attempt consists of many commands.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a replica owns a message that it claimed: long enough for the attempt, which starts immediately, and for
/// the update of the database.
pub(super) const LEASE: Duration = Duration::from_mins(2);
/// A message older than this is given up when an attempt fails.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);
const MAX_DELAY: Duration = Duration::from_mins(5);

/// What happens to a message after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RetryDecision {
    RetryAfter(Duration),
    GiveUp,
}

/// `attempts` is the number of previous attempts, and `jitter` is between 0 and 1.
pub(super) fn decide_retry(class: FailureClass, attempts: i32, age: TimeDelta, jitter: f64) -> RetryDecision {
    if class == FailureClass::Recipient || age > GIVE_UP_AFTER {
        RetryDecision::GiveUp
    } else {
        RetryDecision::RetryAfter(backoff(attempts, jitter))
    }
}

/// 1 s, 2 s, 4 s … up to five minutes, each shortened by up to a half so that replicas do not retry in step.
fn backoff(attempts: i32, jitter: f64) -> Duration {
    let exponent = u32::try_from(attempts).unwrap_or(0).min(16);
    let full = Duration::from_secs(1 << exponent).min(MAX_DELAY);
    let shortened = full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0);
    // PostgreSQL's intervals have no nanoseconds.
    Duration::from_millis(u64::try_from(shortened.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_delay_doubles_up_to_five_minutes() {
        assert_eq!(backoff(0, 0.0), Duration::from_secs(1));
        assert_eq!(backoff(3, 0.0), Duration::from_secs(8));
        assert_eq!(backoff(3, 1.0), Duration::from_secs(4));
        assert_eq!(backoff(i32::MAX, 0.0), MAX_DELAY);
    }

    #[test]
    fn a_lease_outlives_the_slowest_attempt() {
        assert!(LEASE >= ATTEMPT_TIMEOUT * 2);
    }

    proptest! {
        #[test]
        fn within_a_day_only_a_refused_address_is_given_up(
            attempts in -1..i32::MAX, seconds in 0..86_400_i64, jitter in 0.0..=1.0,
        ) {
            let age = TimeDelta::seconds(seconds);
            for class in [FailureClass::Smtp, FailureClass::Template, FailureClass::Database] {
                let decision = decide_retry(class, attempts, age, jitter);
                let RetryDecision::RetryAfter(delay) = decision else {
                    return Err(TestCaseError::fail("given up"));
                };
                prop_assert!(delay >= Duration::from_millis(500) && delay <= MAX_DELAY);
                let after_a_day = decide_retry(class, attempts, TimeDelta::hours(25), jitter);
                prop_assert_eq!(after_a_day, RetryDecision::GiveUp);
            }
            let refused = decide_retry(FailureClass::Recipient, attempts, age, jitter);
            prop_assert_eq!(refused, RetryDecision::GiveUp);
        }
    }
}
