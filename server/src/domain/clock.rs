//! How far clocks may be apart, and what is kept longer for it.
//!
//! Tokens expire by the clock of the replica that judges them. A revocation must be remembered for as long as any
//! replica may still judge the token unexpired, so how far a replica's clock may be off has one limit, and everything
//! that is kept for tokens that have expired is kept by the same rule.

use chrono::{DateTime, TimeDelta, Utc};

/// The most that the clock of a replica or of Redis may differ from the database's. A replica whose clock is off by more
/// is not ready and lets PostgreSQL decide about every token; a Redis whose clock is off by more is not trusted.
pub const CLOCK_MARGIN: TimeDelta = TimeDelta::minutes(5);

/// How long revocations and sessions are kept after the last access token has expired, in Redis and in PostgreSQL alike.
///
/// It must be at least four margins: the replica that computes how long a key lives in Redis may be one ahead of the
/// database, the replica that judges the token one behind it, and Redis's clock may be set forward by two (from one behind
/// a replica to one ahead of it) without being noticed.
pub const KEPT_AFTER_EXPIRY: TimeDelta = TimeDelta::hours(1);

/// How far another clock is from this replica's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset(TimeDelta);

impl ClockOffset {
    /// The smallest offset that explains that another clock showed `theirs` at some time between `asked` and `answered` by this
    /// one. Zero when the two may agree, so that a slow answer never looks like a clock that is off.
    pub fn measure(asked: DateTime<Utc>, theirs: DateTime<Utc>, answered: DateTime<Utc>) -> Self {
        // A clock that was set back between the two leaves an interval of any order.
        let (earliest, latest) = (asked.min(answered), asked.max(answered));
        Self(if theirs > latest {
            theirs - latest
        } else if theirs < earliest {
            theirs - earliest
        } else {
            TimeDelta::zero()
        })
    }

    /// Whether the clocks are further apart than [`CLOCK_MARGIN`].
    pub fn exceeds_margin(self) -> bool {
        self.0.abs() > CLOCK_MARGIN
    }

    /// One clause: "`subject` is 360 seconds behind `reference`". For the offset of `reference` from `subject`.
    pub fn describe(self, subject: &str, reference: &str) -> String {
        let direction = if self.0 > TimeDelta::zero() { "behind" } else { "ahead of" };
        format!("{subject} is {} seconds {direction} {reference}", self.0.num_seconds().abs())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }

    #[test]
    fn what_is_kept_covers_every_clock_within_the_margin() {
        assert!(KEPT_AFTER_EXPIRY >= CLOCK_MARGIN * 4);
    }

    #[test]
    fn an_offset_says_who_is_behind() {
        let offset = ClockOffset::measure(at(1_000), at(1_400), at(1_010));
        assert!(offset.exceeds_margin());
        let text = offset.describe("this replica's clock", "the database's");
        assert_eq!(text, "this replica's clock is 390 seconds behind the database's");
        let offset = ClockOffset::measure(at(1_000), at(600), at(1_010));
        let text = offset.describe("this replica's clock", "the database's");
        assert_eq!(text, "this replica's clock is 400 seconds ahead of the database's");
    }

    proptest! {
        #[test]
        fn a_slow_answer_is_never_taken_for_a_clock_that_is_off(asked in 0_i64..1_000_000, took in 0_i64..10_000, when in 0.0_f64..=1.0) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]
            let theirs = asked + (took as f64 * when) as i64;
            prop_assert!(!ClockOffset::measure(at(asked), at(theirs), at(asked + took)).exceeds_margin());
        }

        #[test]
        fn a_clock_that_is_off_by_more_than_margin_and_delay_is_found(asked in 0_i64..1_000_000, took in 0_i64..60, off in 301_i64..100_000, ahead in any::<bool>()) {
            let theirs = if ahead { asked + took + off } else { asked - off };
            prop_assert!(ClockOffset::measure(at(asked), at(theirs), at(asked + took)).exceeds_margin());
        }
    }
}
