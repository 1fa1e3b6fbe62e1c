//! How fast something may be tried: the generic cell rate algorithm (ITU-T I.371, annex A). Of each bucket one number
//! is kept, the time at which it will be full again; times are microseconds on any one clock.

const HOUR: i64 = 3_600_000_000;
/// A person who mistypes once or twice is not to wait, however small the limit.
const LEAST_BURST: u32 = 3;

/// A rate with what may be taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Microseconds until one unit has come back.
    interval: i64,
    /// How many units a full bucket holds.
    burst: i64,
}

impl Rate {
    /// At most `limit` in any hour (at least one): a third of them at once, the others as the hour passes.
    pub fn per_hour(limit: u32) -> Self {
        let limit = limit.max(1);
        let burst = limit.div_ceil(3).max(LEAST_BURST).min(limit);
        let (limit, burst) = (i64::from(limit), i64::from(burst));
        // Rounded up: a shorter interval could let one more through. The first interval ends within the hour.
        let interval = (HOUR + limit - burst) / (limit - burst + 1);
        Self { interval, burst }
    }

    /// Microseconds until one unit has come back.
    pub fn interval(self) -> i64 {
        self.interval
    }

    /// Microseconds until an empty bucket is full.
    pub fn span(self) -> i64 {
        self.interval * self.burst
    }
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Which bucket must be waited for longest.
    pub bucket: usize,
    /// How long, in microseconds; more than none, and never longer than that bucket's interval.
    pub wait: i64,
}

/// Takes one unit from each of the buckets, or none from any. A bucket is the time when it is full (`None` or in the
/// past: it is full now) and its rate; the answer is when each will be full then. The script in `limits/consume.lua`
/// does the same.
///
/// # Errors
/// [`Refusal`] when one of them is empty.
pub fn decide_gcra(buckets: &[(Option<i64>, Rate)], now: i64) -> Result<Vec<i64>, Refusal> {
    let mut refusal = None;
    let mut taken = Vec::with_capacity(buckets.len());
    for (bucket, (full_at, rate)) in buckets.iter().enumerate() {
        // A clock that jumped back must not leave a bucket emptier than empty.
        let full_at = full_at.unwrap_or(now).clamp(now, now + rate.span()) + rate.interval;
        let wait = full_at - rate.span() - now;
        if wait > refusal.map_or(0, |refusal: Refusal| refusal.wait) {
            refusal = Some(Refusal { bucket, wait });
        }
        taken.push(full_at);
    }
    refusal.map_or(Ok(taken), Err)
}

/// Gives back one unit: when the bucket will be full then, or `None` when it is full now.
pub fn decide_refund(full_at: Option<i64>, rate: Rate, now: i64) -> Option<i64> {
    full_at.map(|full_at| full_at - rate.interval).filter(|full_at| *full_at > now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tries at these times (microseconds after the one before); says when it was allowed.
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
    fn a_third_may_be_taken_at_once_and_three_in_any_case() {
        for (limit, burst) in
            [(1, 1), (2, 2), (3, 3), (5, 3), (15, 5), (30, 10), (300, 100), (1_000_000, 333_334)]
        {
            assert_eq!(Rate::per_hour(limit).burst, burst, "{limit}");
        }
        assert_eq!(Rate::per_hour(0), Rate::per_hour(1));
    }

    #[test]
    fn one_empty_bucket_leaves_the_others_as_they_were() {
        let (small, large) = (Rate::per_hour(1), Rate::per_hour(300));
        let taken = decide_gcra(&[(None, large), (None, small)], 0).unwrap();
        let refusal = decide_gcra(&[(Some(taken[0]), large), (Some(taken[1]), small)], 1).unwrap_err();
        assert_eq!(refusal, Refusal { bucket: 1, wait: small.interval() - 1 });
    }

    proptest! {
        #[test]
        fn no_hour_sees_more_than_the_limit(
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
        fn who_comes_no_faster_than_the_interval_is_never_refused(
            limit in 1_u32..1_000_000,
            extra in prop::collection::vec(0..HOUR, 1..50),
        ) {
            let rate = Rate::per_hour(limit);
            let gaps: Vec<_> = extra.iter().map(|extra| rate.interval() + extra).collect();
            prop_assert_eq!(allowed(rate, &gaps).len(), gaps.len());
        }

        #[test]
        fn who_waits_as_long_as_told_is_let_in_and_not_a_moment_sooner(
            limits in prop::collection::vec(1_u32..1000, 1..4),
            ahead in prop::collection::vec(-HOUR..HOUR, 4),
            now in 0..HOUR,
        ) {
            let buckets: Vec<_> = limits.iter().zip(&ahead)
                .map(|(limit, ahead)| (Some(now + ahead), Rate::per_hour(*limit))).collect();
            if let Err(Refusal { bucket, wait }) = decide_gcra(&buckets, now) {
                prop_assert!(wait > 0 && wait <= buckets[bucket].1.interval());
                // The times are those of the clock that now stands at `now`, so none is beyond a full span.
                let capped: Vec<_> = buckets.iter()
                    .map(|(full_at, rate)| (full_at.map(|at| at.min(now + rate.span())), *rate)).collect();
                prop_assert!(decide_gcra(&capped, now + wait).is_ok());
                prop_assert!(decide_gcra(&capped, now + wait - 1).is_err());
            }
        }

        #[test]
        fn what_is_given_back_is_as_if_it_had_never_been_taken(
            limit in 1_u32..1000,
            before in prop::option::of(0..HOUR),
            later in 0..HOUR,
        ) {
            let rate = Rate::per_hour(limit);
            if let Ok(taken) = decide_gcra(&[(before, rate)], 0) {
                let refunded = decide_refund(Some(taken[0]), rate, later);
                let left_alone = before.filter(|full_at| *full_at > later);
                prop_assert_eq!(refunded, left_alone);
            }
        }
    }
}
