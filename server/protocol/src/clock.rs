//! The tolerated clock skew, and the retention that follows from it.
//!
//! A token expires by the clock of the replica that verifies it. A revocation must be stored for as long as any
//! replica may consider the token unexpired. Therefore one constant bounds the skew of all clocks, and one retention
//! derived from it applies to all data about expired tokens.

use chrono::{DateTime, TimeDelta, Utc};

/// The maximum difference between the database's clock and that of a replica or of Redis. Beyond it a replica is not
/// ready and checks the revocation of every token in PostgreSQL, and a Redis is not trusted.
pub const CLOCK_MARGIN: TimeDelta = TimeDelta::minutes(5);

/// How long revocations and sessions are retained after the last access token has expired, both in Redis and in
/// PostgreSQL.
///
/// It must be at least four margins. The replica that computes the TTL of a key in Redis may be one margin ahead of the
/// database, and the replica that verifies the token one margin behind. Redis's clock may jump forward by two margins
/// undetected, from one behind the database to one ahead of it.
pub const KEPT_AFTER_EXPIRY: TimeDelta = TimeDelta::hours(1);

/// The difference between another clock and this replica's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset(TimeDelta);

impl ClockOffset {
    /// Returns the smallest offset with which the other clock could show `theirs` between `asked` and `answered` of
    /// this clock. It is zero if the clocks may agree, so that a slow response is not reported as clock skew.
    pub fn measure(asked: DateTime<Utc>, theirs: DateTime<Utc>, answered: DateTime<Utc>) -> Self {
        // `answered` is before `asked` if this clock was set back in between.
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

    /// Describes the offset of `reference` from `subject`: "`subject` is 360 seconds behind `reference`".
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
    fn retention_covers_every_clock_within_the_margin() {
        assert!(KEPT_AFTER_EXPIRY >= CLOCK_MARGIN * 4);
    }

    #[test]
    fn an_offset_is_described_with_its_direction() {
        let offset = ClockOffset::measure(at(1_000), at(1_400), at(1_010));
        assert!(offset.exceeds_margin());
        let text = offset.describe("this replica's clock", "the database's");
        assert_eq!(text, "this replica's clock is 390 seconds behind the database's");
        let offset = ClockOffset::measure(at(1_000), at(600), at(1_010));
        let text = offset.describe("this replica's clock", "the database's");
        assert_eq!(text, "this replica's clock is 400 seconds ahead of the database's");
    }

    #[test]
    fn the_margin_itself_is_tolerated() {
        for (theirs, exceeds) in [(1_310, false), (1_311, true), (700, false), (699, true)] {
            let offset = ClockOffset::measure(at(1_000), at(theirs), at(1_010));
            assert_eq!(offset.exceeds_margin(), exceeds, "{theirs}");
        }
        // This clock was set back between the question and the answer.
        assert_eq!(ClockOffset::measure(at(1_010), at(1_005), at(1_000)), ClockOffset(TimeDelta::zero()));
    }

    proptest! {
        #[test]
        fn a_slow_response_is_not_reported_as_skew(asked in 0_i64..1_000_000, took in 0_i64..10_000, when in 0.0_f64..=1.0) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]
            let theirs = asked + (took as f64 * when) as i64;
            prop_assert!(!ClockOffset::measure(at(asked), at(theirs), at(asked + took)).exceeds_margin());
        }

        #[test]
        fn skew_beyond_margin_and_delay_is_detected(asked in 0_i64..1_000_000, took in 0_i64..60, off in 301_i64..100_000, ahead in any::<bool>()) {
            let theirs = if ahead { asked + took + off } else { asked - off };
            prop_assert!(ClockOffset::measure(at(asked), at(theirs), at(asked + took)).exceeds_margin());
        }
    }
}
