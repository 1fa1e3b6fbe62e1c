//! What a presented refresh token gets (RFC 9700 §4.14.2).

use chrono::{DateTime, TimeDelta, Utc};

/// How long a rotated refresh token may be presented again: a lost response, two tabs.
pub const GRACE: TimeDelta = TimeDelta::seconds(10);

/// What the database knows of a presented refresh token whose signature and session are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// It is the one that was issued last.
    Current,
    /// It was exchanged at this time.
    Rotated(DateTime<Utc>),
    /// It was exchanged so long ago that it was forgotten.
    Forgotten,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Issue the next generation.
    Rotate,
    /// Issue tokens of the current generation once more.
    RepeatCurrent,
    /// Somebody else has used it: end the session.
    Theft,
}

/// Decides by the generation and the database's time.
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
