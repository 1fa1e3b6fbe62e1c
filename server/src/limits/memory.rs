//! Rate limits in the memory of one replica, used while Redis is unavailable.

use std::sync::Mutex;
use std::time::Instant;

use quick_cache::unsync::Cache;

use super::answer::{AUDIT_INTERVAL, Answer};
use super::bucket::{Bucket, BucketKey};
use crate::domain::rate_limit::{decide_gcra, decide_refund};

/// The maximum number of buckets, which take about ten megabytes. The least recently used ones are evicted.
const MOST_BUCKETS: usize = 100_000;

#[derive(Debug, Clone, Copy, Default)]
struct State {
    full_at: Option<i64>,
    audited_until: Option<i64>,
}

/// Buckets in memory, measured by the monotonic clock of this process.
pub(super) struct Memory {
    begun: Instant,
    buckets: Mutex<Cache<BucketKey, State>>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), buckets: Mutex::new(Cache::new(MOST_BUCKETS)) }
    }

    fn now(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    pub(super) fn consume(&self, buckets: &[Bucket]) -> Answer {
        self.consume_at(buckets, self.now())
    }

    fn consume_at(&self, buckets: &[Bucket], now: i64) -> Answer {
        // A panic cannot leave a partial change in the cache, because each change is one insert.
        let mut cache = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let states: Vec<State> =
            buckets.iter().map(|bucket| cache.get(&bucket.key).copied().unwrap_or_default()).collect();
        let rates = states.iter().zip(buckets).map(|(state, bucket)| (state.full_at, bucket.rate));
        match decide_gcra(&rates.collect::<Vec<_>>(), now) {
            Ok(taken) => {
                for ((bucket, state), full_at) in buckets.iter().zip(states).zip(taken) {
                    cache.insert(bucket.key, State { full_at: Some(full_at), ..state });
                }
                Answer::Taken
            }
            Err(refusal) => {
                let state = states[refusal.bucket];
                let audit = state.audited_until.is_none_or(|until| until <= now);
                if audit {
                    let audited_until =
                        Some(now + i64::try_from(AUDIT_INTERVAL.as_micros()).unwrap_or(i64::MAX));
                    cache.insert(buckets[refusal.bucket].key, State { audited_until, ..state });
                }
                Answer::Refused { refusal, audit }
            }
        }
    }

    pub(super) fn refund(&self, buckets: &[Bucket]) {
        let now = self.now();
        let mut cache = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for bucket in buckets {
            if let Some(state) = cache.get(&bucket.key).copied() {
                let full_at = decide_refund(state.full_at, bucket.rate, now);
                cache.insert(bucket.key, State { full_at, ..state });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rate_limit::Rate;

    #[test]
    fn a_refusal_is_audited_once_a_minute() {
        let memory = Memory::new();
        let bucket = [Bucket::of_account("login", "john", Rate::per_hour(1))];
        assert!(matches!(memory.consume_at(&bucket, 0), Answer::Taken));
        let audit_due = |now| match memory.consume_at(&bucket, now) {
            Answer::Refused { audit, .. } => audit,
            Answer::Taken => panic!("not refused"),
        };
        assert_eq!(
            [audit_due(1), audit_due(2), audit_due(59_000_000), audit_due(60_000_001)],
            [true, false, false, true]
        );
    }

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let memory = Memory::new();
        let bucket = [Bucket::of_account("login", "john", Rate::per_hour(1))];
        for _ in 0..100 {
            assert!(matches!(memory.consume(&bucket), Answer::Taken));
            memory.refund(&bucket);
        }
    }
}
