//! When a message is tried, and when it is given up.

use std::time::Duration;

use chrono::TimeDelta;

use super::failure::FailureClass;

/// The longest that one attempt may take, whatever the SMTP server does: its parts have limits too, but there are
/// many of them.
pub(super) const ATTEMPT_LIMIT: Duration = Duration::from_mins(1);
/// How long a claimed message is this replica's: as long as its attempt can take, which begins at once, and the
/// database then needs to hear of it.
pub(super) const LEASE: Duration = Duration::from_mins(2);
/// A message older than this is given up when it fails again.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);
const LONGEST_DELAY: Duration = Duration::from_mins(5);

/// What becomes of a message that did not leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    /// It is tried again after this.
    Postpone(Duration),
    /// It is parked: nothing tries it any more.
    Park,
}

/// Decides it. `attempts` counts those before this one, `jitter` lies between 0 and 1.
pub(super) fn decide_fate(class: FailureClass, attempts: i32, age: TimeDelta, jitter: f64) -> Fate {
    if class == FailureClass::Recipient || age > GIVE_UP_AFTER {
        Fate::Park
    } else {
        Fate::Postpone(backoff(attempts, jitter))
    }
}

/// 1 s, 2 s, 4 s … up to five minutes, each shortened by up to a half so that replicas do not march in step.
fn backoff(attempts: i32, jitter: f64) -> Duration {
    let exponent = u32::try_from(attempts).unwrap_or(0).min(16);
    let full = Duration::from_secs(1 << exponent).min(LONGEST_DELAY);
    let shortened = full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0);
    // An interval of PostgreSQL has no nanoseconds.
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
        assert_eq!(backoff(i32::MAX, 0.0), LONGEST_DELAY);
    }

    #[test]
    fn a_lease_outlives_the_slowest_attempt() {
        assert!(LEASE >= ATTEMPT_LIMIT * 2);
    }

    proptest! {
        #[test]
        fn for_a_day_only_a_refused_address_is_given_up(
            attempts in -1..i32::MAX, seconds in 0..86_400_i64, jitter in 0.0..=1.0,
        ) {
            let age = TimeDelta::seconds(seconds);
            for class in [FailureClass::Smtp, FailureClass::Template, FailureClass::Database] {
                let fate = decide_fate(class, attempts, age, jitter);
                let Fate::Postpone(delay) = fate else { return Err(TestCaseError::fail("given up")) };
                prop_assert!(delay >= Duration::from_millis(500) && delay <= LONGEST_DELAY);
                prop_assert_eq!(decide_fate(class, attempts, TimeDelta::hours(25), jitter), Fate::Park);
            }
            prop_assert_eq!(decide_fate(FailureClass::Recipient, attempts, age, jitter), Fate::Park);
        }
    }
}
