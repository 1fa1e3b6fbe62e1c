//! Refresh token rotation (RFC 9700 §4.14.2).

use chrono::{DateTime, TimeDelta, Utc};

/// How long a client may present a rotated refresh token again, for example after a lost response or from a second tab.
pub const GRACE: TimeDelta = TimeDelta::seconds(10);

/// The state of a presented refresh token whose signature and session are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// The latest token of the session.
    Current,
    /// The token was exchanged at this time.
    Rotated(DateTime<Utc>),
    /// The token was exchanged so long ago that the database no longer has it.
    Forgotten,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
/// What to do with a presented refresh token.
pub enum Decision {
    /// Issue the next generation.
    Rotate,
    /// Issue tokens of the current generation once more.
    RepeatCurrent,
    /// Two parties use the token: end the session.
    Theft,
}

/// Decides what a refresh token is exchanged for. `now` is the database's time.
pub fn decide_rotation(generation: Generation, now: DateTime<Utc>) -> Decision {
    match generation {
        Generation::Current => Decision::Rotate,
        Generation::Rotated(at) if now - at <= GRACE => Decision::RepeatCurrent,
        Generation::Rotated(_) | Generation::Forgotten => Decision::Theft,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + milliseconds).unwrap()
    }

    #[test]
    fn the_grace_ends_after_ten_seconds() {
        let rotated = Generation::Rotated(at(0));
        assert_eq!(decide_rotation(rotated, at(10_000)), Decision::RepeatCurrent);
        assert_eq!(decide_rotation(rotated, at(10_001)), Decision::Theft);
        assert_eq!(decide_rotation(Generation::Current, at(10_001)), Decision::Rotate);
        assert_eq!(decide_rotation(Generation::Forgotten, at(0)), Decision::Theft);
    }
}
