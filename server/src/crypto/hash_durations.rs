//! How long hashes take, by their kind: the algorithm and its parameters.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The assumed duration of Latchkey's own hash until the first one is measured.
const OWN: Duration = Duration::from_millis(20);
/// The assumed duration of any other hash until the first one of its kind is measured.
const FOREIGN: Duration = Duration::from_millis(250);
/// A hash that takes more than this many times as long as Latchkey's own is slow.
const SLOW_FACTOR: u32 = 3;
/// The kinds that are measured; the durations of further ones are assumed.
const MAX_KINDS: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) duration: Duration,
    pub(super) is_slow: bool,
}

/// The moving averages of the durations.
#[derive(Default)]
pub(super) struct HashDurations {
    own_kind: String,
    averages: Mutex<HashMap<String, Duration>>,
}

impl HashDurations {
    pub(super) fn new(own_kind: String) -> Self {
        Self { own_kind, averages: Mutex::default() }
    }

    /// A hash of a kind that was never measured counts as slow.
    pub(super) fn estimate(&self, kind: &str) -> Estimate {
        let averages = self.averages.lock().unwrap_or_else(PoisonError::into_inner);
        let own = averages.get(&self.own_kind).copied().unwrap_or(OWN);
        if kind == self.own_kind {
            return Estimate { duration: own, is_slow: false };
        }
        let duration = averages.get(kind).copied().unwrap_or(FOREIGN);
        Estimate { duration, is_slow: duration > own * SLOW_FACTOR }
    }

    pub(super) fn record(&self, kind: String, duration: Duration) {
        let mut averages = self.averages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(average) = averages.get_mut(&kind) {
            *average = (*average * 7 + duration) / 8;
        } else if averages.len() < MAX_KINDS {
            averages.insert(kind, duration);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn each_kind_has_its_own_average_and_an_unknown_one_is_slow() {
        let durations = HashDurations::new("own".to_owned());
        assert_eq!(durations.estimate("own"), Estimate { duration: OWN, is_slow: false });
        assert_eq!(durations.estimate("bcrypt 12"), Estimate { duration: FOREIGN, is_slow: true });
        durations.record("own".to_owned(), 10 * MILLISECOND);
        durations.record("bcrypt 12".to_owned(), 400 * MILLISECOND);
        durations.record("bcrypt 4".to_owned(), MILLISECOND);
        assert_eq!(durations.estimate("own").duration, 10 * MILLISECOND);
        assert_eq!(durations.estimate("bcrypt 12"), Estimate { duration: 400 * MILLISECOND, is_slow: true });
        assert_eq!(durations.estimate("bcrypt 4"), Estimate { duration: MILLISECOND, is_slow: false });
        durations.record("bcrypt 4".to_owned(), 9 * MILLISECOND);
        assert_eq!(durations.estimate("bcrypt 4").duration, 2 * MILLISECOND);
    }

    #[test]
    fn a_hash_is_slow_if_it_takes_more_than_three_times_as_long_as_the_own() {
        let durations = HashDurations::new("own".to_owned());
        durations.record("own".to_owned(), 10 * MILLISECOND);
        for (kind, milliseconds, is_slow) in [("bcrypt 7", 30, false), ("bcrypt 8", 31, true)] {
            durations.record(kind.to_owned(), milliseconds * MILLISECOND);
            assert_eq!(durations.estimate(kind).is_slow, is_slow, "{kind}");
        }
    }

    #[test]
    fn the_number_of_kinds_is_bounded() {
        let durations = HashDurations::new("own".to_owned());
        for kind in 0..2 * MAX_KINDS {
            durations.record(format!("pbkdf2 {kind}"), MILLISECOND);
        }
        assert_eq!(durations.averages.lock().unwrap().len(), MAX_KINDS);
        assert_eq!(durations.estimate("pbkdf2 511").duration, FOREIGN);
    }
}
