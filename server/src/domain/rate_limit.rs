//! The generic cell rate algorithm (ITU-T I.371, annex A). The state of a bucket is one number: the time at which the
//! bucket will be full again. Times are microseconds of one clock.

const HOUR: i64 = 3_600_000_000;
/// The minimum burst, so that a user can mistype a password twice without waiting even if the limit is low.
const MIN_BURST: u32 = 3;

/// A rate and a burst size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The microseconds in which one unit is added.
    interval: i64,
    /// The capacity of the bucket.
    burst: i64,
}

impl Rate {
    /// Allows at most `limit` units (at least one) in any hour. A third of them may be taken immediately, the rest
    /// spread over the hour.
    pub fn per_hour(limit: u32) -> Self {
        let limit = limit.max(1);
        let burst = limit.div_ceil(3).max(MIN_BURST).min(limit);
        let (limit, burst) = (i64::from(limit), i64::from(burst));
        // Rounded up, because a shorter interval could admit one more. The first interval ends within the hour.
        let interval = (HOUR + limit - burst) / (limit - burst + 1);
        Self { interval, burst }
    }

    /// The microseconds in which one unit is added.
    pub fn interval(self) -> i64 {
        self.interval
    }

    /// The microseconds in which an empty bucket becomes full.
    pub fn span(self) -> i64 {
        self.interval * self.burst
    }
}

/// A refused attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The index of the bucket with the longest wait.
    pub bucket: usize,
    /// The wait in microseconds, which is positive and at most the bucket's interval.
    pub wait: i64,
}

/// Takes one unit from every bucket, or from none if one of them is empty. A bucket is the time at which it will be
/// full (`None` or a past time if it is full now) and its rate. Returns the new times. The script
/// `limits/consume.lua` implements the same algorithm.
///
/// # Errors
/// [`Refusal`] if a bucket is empty.
pub fn decide_gcra(buckets: &[(Option<i64>, Rate)], now: i64) -> Result<Vec<i64>, Refusal> {
    let mut refusal = None;
    let mut taken = Vec::with_capacity(buckets.len());
    for (bucket, (full_at, rate)) in buckets.iter().enumerate() {
        // The clamp bounds the wait if the clock was set back.
        let full_at = full_at.unwrap_or(now).clamp(now, now + rate.span()) + rate.interval;
        let wait = full_at - rate.span() - now;
        if wait > refusal.map_or(0, |refusal: Refusal| refusal.wait) {
            refusal = Some(Refusal { bucket, wait });
        }
        taken.push(full_at);
    }
    refusal.map_or(Ok(taken), Err)
}

/// Returns one unit to a bucket. The result is the time at which it will be full, or `None` if it is full now.
pub fn decide_refund(full_at: Option<i64>, rate: Rate, now: i64) -> Option<i64> {
    full_at.map(|full_at| full_at - rate.interval).filter(|full_at| *full_at > now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Makes attempts with these gaps in microseconds and returns the times of the allowed ones.
    fn allowed(rate: Rate, gaps: &[i64]) -> Vec<i64> {
        let (mut now, mut full_at, mut times) = (0, None, Vec::new());
        for gap in gaps {
            now += gap;
            if let Ok(taken) = decide_gcra(&[(full_at, rate)], now) {
                full_at = Some(taken[0]);
                times.push(now);
            }
        }
        times
    }

    #[test]
    fn the_burst_is_a_third_of_the_limit_and_at_least_three() {
        for (limit, burst) in
            [(1, 1), (2, 2), (3, 3), (5, 3), (15, 5), (30, 10), (300, 100), (1_000_000, 333_334)]
        {
            assert_eq!(Rate::per_hour(limit).burst, burst, "{limit}");
        }
        assert_eq!(Rate::per_hour(0), Rate::per_hour(1));
    }

    #[test]
    fn the_rest_of_the_limit_is_spread_over_the_hour() {
        // After a burst of 10, the 20 others and the one that would exceed the limit divide the hour into 21 intervals.
        assert_eq!(Rate::per_hour(30).interval(), 171_428_572);
        assert_eq!(Rate::per_hour(300).interval(), 17_910_448);
        assert_eq!(Rate::per_hour(1).interval(), HOUR);
    }

    #[test]
    fn an_empty_bucket_leaves_the_others_unchanged() {
        let (small, large) = (Rate::per_hour(1), Rate::per_hour(300));
        let taken = decide_gcra(&[(None, large), (None, small)], 0).unwrap();
        let refusal = decide_gcra(&[(Some(taken[0]), large), (Some(taken[1]), small)], 1).unwrap_err();
        assert_eq!(refusal, Refusal { bucket: 1, wait: small.interval() - 1 });
    }

    proptest! {
        #[test]
        fn no_hour_exceeds_the_limit(
            limit in 1_u32..60,
            gaps in prop::collection::vec(prop_oneof![Just(0), 0..HOUR / 20, 0..HOUR], 0..300),
        ) {
            let times = allowed(Rate::per_hour(limit), &gaps);
            for (at, begin) in times.iter().enumerate() {
                let within = times[at..].iter().filter(|time| **time < begin + HOUR).count();
                prop_assert!(within <= limit as usize, "{within} within an hour");
            }
        }

        #[test]
        fn attempts_at_the_interval_are_never_refused(
            limit in 1_u32..1_000_000,
            extra in prop::collection::vec(0..HOUR, 1..50),
        ) {
            let rate = Rate::per_hour(limit);
            let gaps: Vec<_> = extra.iter().map(|extra| rate.interval() + extra).collect();
            prop_assert_eq!(allowed(rate, &gaps).len(), gaps.len());
        }

        #[test]
        fn the_wait_of_a_refusal_is_exact(
            limits in prop::collection::vec(1_u32..1000, 1..4),
            ahead in prop::collection::vec(-HOUR..HOUR, 4),
            now in 0..HOUR,
        ) {
            let buckets: Vec<_> = limits.iter().zip(&ahead)
                .map(|(limit, ahead)| (Some(now + ahead), Rate::per_hour(*limit))).collect();
            if let Err(Refusal { bucket, wait }) = decide_gcra(&buckets, now) {
                prop_assert!(wait > 0 && wait <= buckets[bucket].1.interval());
                // With a clock at `now`, no time is further ahead than a full span.
                let capped: Vec<_> = buckets.iter()
                    .map(|(full_at, rate)| (full_at.map(|at| at.min(now + rate.span())), *rate)).collect();
                prop_assert!(decide_gcra(&capped, now + wait).is_ok());
                prop_assert!(decide_gcra(&capped, now + wait - 1).is_err());
            }
        }

        #[test]
        fn a_refund_restores_the_previous_state(
            limit in 1_u32..1000,
            before in prop::option::of(0..HOUR),
            later in 0..HOUR,
        ) {
            let rate = Rate::per_hour(limit);
            if let Ok(taken) = decide_gcra(&[(before, rate)], 0) {
                let refunded = decide_refund(Some(taken[0]), rate, later);
                let untouched = before.filter(|full_at| *full_at > later);
                prop_assert_eq!(refunded, untouched);
            }
        }
    }
}
