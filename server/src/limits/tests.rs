//! On a real Redis.

use latchkey_tests::redis::Redis;
use latchkey_tests::wait;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::domain::rate_limit::{Rate, decide_gcra, decide_refund};
use crate::trusted_roots::TrustedRoots;

async fn connected(redis: &Redis) -> Limits {
    let redis = Arc::new(RedisConnection::new(&redis.url(), &TrustedRoots::default(), None).unwrap());
    redis.set_key_prefix("latchkey:{test}:");
    wait::until("the redis to be up", || async {
        redis.ensure_connected().await.map_err(|error| format!("{error:?}"))?;
        redis.connection().map(|_| ()).ok_or_else(|| "no connection".to_owned())
    })
    .await;
    Limits::new(redis)
}

fn bucket(name: &str, limit: u32) -> Bucket {
    Bucket::of_account("login", name, Rate::per_hour(limit))
}

/// One step: which of the buckets, and whether something is given back instead of taken.
type Step = (Vec<usize>, bool);

/// What `decide_gcra` and `decide_refund` make of the same steps at the times that Redis had.
struct Model {
    rates: Vec<Rate>,
    full_at: Vec<Option<i64>>,
}

impl Model {
    fn consume(&mut self, chosen: &[usize], now: i64) -> Option<(usize, i64)> {
        let buckets: Vec<_> = chosen.iter().map(|at| (self.full_at[*at], self.rates[*at])).collect();
        match decide_gcra(&buckets, now) {
            Ok(taken) => {
                chosen.iter().zip(taken).for_each(|(at, full_at)| self.full_at[*at] = Some(full_at));
                None
            }
            Err(refusal) => Some((refusal.bucket, refusal.wait)),
        }
    }

    fn refund(&mut self, chosen: &[usize], now: i64) {
        for at in chosen {
            self.full_at[*at] = decide_refund(self.full_at[*at], self.rates[*at], now);
        }
    }
}

/// Millions an hour, so that buckets fill and empty while the test runs, and small ones.
fn rates() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(prop_oneof![1_u32..5, 100_000_u32..1_000_000, Just(1_000_000)], 4)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let chosen = prop::sample::subsequence(vec![0_usize, 1, 2, 3], 1..4).prop_shuffle();
    prop::collection::vec((chosen, prop::bool::weighted(0.2)), 1..60)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_decides_as_decide_gcra_does() {
    let redis = Redis::start();
    let limits = connected(&redis).await;
    let handle = tokio::runtime::Handle::current();
    let round = std::sync::atomic::AtomicU32::new(0);
    tokio::task::block_in_place(|| {
        TestRunner::default()
            .run(&(rates(), steps()), |(limits_an_hour, steps)| {
                let round = round.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let buckets: Vec<_> = limits_an_hour
                    .iter()
                    .enumerate()
                    .map(|(at, limit)| bucket(&format!("{round}-{at}"), *limit))
                    .collect();
                let mut model = Model {
                    rates: buckets.iter().map(|bucket| bucket.rate).collect(),
                    full_at: vec![None; buckets.len()],
                };
                for (chosen, back) in steps {
                    let picked: Vec<_> = chosen.iter().map(|at| buckets[*at]).collect();
                    if back {
                        let now = handle.block_on(limits.call_refund(&picked)).expect("an answer");
                        model.refund(&chosen, now);
                    } else {
                        let (number, wait, _, now) =
                            handle.block_on(limits.call_consume(&picked)).expect("an answer");
                        let found = (number > 0).then(|| (number - 1, wait));
                        prop_assert_eq!(found, model.consume(&chosen, now));
                    }
                }
                Ok(())
            })
            .unwrap();
    });
}

#[tokio::test]
async fn what_is_kept_names_nobody_and_goes_by_itself() {
    let redis = Redis::start();
    let limits = connected(&redis).await;
    let buckets = vec![bucket("john@example.com", 1)];
    drop(limits.begin(buckets.clone()).await.unwrap());
    let limited = limits.begin(buckets).await.err().unwrap();
    assert!(limited.audit && limited.wait <= Duration::from_hours(1), "{limited:?}");

    let keys = redis.keys().await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    let mut connection = redis.connect().await;
    for key in keys {
        assert!(!key.contains("john"), "{key}");
        let left: i64 = ::redis::cmd("TTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!((1..=3600).contains(&left), "{key} goes in {left} s");
    }
}

#[tokio::test]
async fn concurrent_attempts_that_succeed_are_all_accepted() {
    let redis = Redis::start();
    let limits = connected(&redis).await;
    let work = async || {
        for _ in 0..20 {
            let attempt = limits.begin(vec![bucket("busy", 3)]).await.unwrap();
            tokio::task::yield_now().await;
            attempt.give_back().await;
        }
    };
    futures::future::join_all((0..32).map(|_| work())).await;
    assert!(limits.in_flight.is_empty(), "something is kept of them");
}

#[tokio::test]
async fn concurrent_attempts_that_fail_are_accepted_as_often_as_the_burst_allows() {
    let redis = Redis::start();
    let limits = connected(&redis).await;
    let work = async || limits.begin(vec![bucket("guessed", 15)]).await.is_ok();
    let let_in = futures::future::join_all((0..64).map(|_| work())).await;
    assert_eq!(let_in.into_iter().filter(|let_in| *let_in).count(), 5);
    assert!(limits.in_flight.is_empty(), "something is kept of them");
}

#[tokio::test]
async fn without_redis_each_replica_counts_for_itself() {
    let mut redis = Redis::start();
    let (one, other) = (connected(&redis).await, connected(&redis).await);
    let alone = || vec![bucket("alone", 1)];
    drop(one.begin(alone()).await.unwrap());
    assert!(other.begin(alone()).await.is_err(), "they do not count together");

    redis.stop();
    for limits in [&one, &other] {
        drop(limits.begin(alone()).await.unwrap());
        let limited = limits.begin(alone()).await.err().unwrap();
        assert_eq!(limited.scope, Scope::Account);
    }
}

#[tokio::test]
async fn a_redis_that_hangs_is_waited_for_once() {
    let redis = Redis::start();
    let limits = connected(&redis).await;
    redis.pause();
    let begun = std::time::Instant::now();
    for name in ["a", "b", "c", "d"] {
        drop(limits.begin(vec![bucket(name, 1)]).await.unwrap());
    }
    let took = begun.elapsed();
    redis.resume();
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[tokio::test]
async fn a_redis_that_is_full_is_no_reason_to_drop_the_connection() {
    let redis = Redis::start();
    let limits = connected(&redis).await;
    let mut set = ::redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory").arg("1");
    let _: () = set.query_async(&mut redis.connect().await).await.unwrap();

    drop(limits.begin(vec![bucket("full", 1)]).await.unwrap());
    assert!(limits.begin(vec![bucket("full", 1)]).await.is_err(), "it is not counted in memory");
    assert!(limits.redis.connection().is_some(), "revocation lost its connection");
}

/// Of one attempt: whether it succeeds, and so gives back, and how often it yields before that.
fn attempts() -> impl Strategy<Value = Vec<(bool, u8)>> {
    prop::collection::vec((prop::bool::weighted(0.8), 0_u8..20), 1..60)
}

#[test]
fn among_concurrent_attempts_the_burst_bounds_those_that_fail_and_no_others() {
    const BURST: usize = 5;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    TestRunner::default()
        .run(&attempts(), |attempts| {
            let redis = RedisConnection::new("redis://127.0.0.1:1", &TrustedRoots::default(), None).unwrap();
            // Not connected: the counts of this replica are used.
            let limits = Arc::new(Limits::new(Arc::new(redis)));
            let run = |(succeeds, yields): (bool, u8)| {
                let limits = Arc::clone(&limits);
                runtime.spawn(async move {
                    let buckets = vec![bucket("both", 15), bucket(&format!("own-{yields}"), 1_000)];
                    let Ok(attempt) = limits.begin(buckets).await else { return false };
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                    if succeeds {
                        attempt.give_back().await;
                    }
                    true
                })
            };
            let running: Vec<_> = attempts.iter().copied().map(run).collect();
            let accepted: Vec<bool> = runtime
                .block_on(futures::future::join_all(running))
                .into_iter()
                .map(|accepted| accepted.unwrap())
                .collect();
            let failing = attempts.iter().filter(|(succeeds, _)| !succeeds).count();
            let of = |kind: bool| {
                attempts
                    .iter()
                    .zip(&accepted)
                    .filter(move |((succeeds, _), ok)| *succeeds == kind && **ok)
                    .count()
            };
            if failing < BURST {
                prop_assert_eq!(accepted.iter().filter(|ok| !**ok).count(), 0);
            } else {
                prop_assert_eq!(of(false), BURST);
            }
            prop_assert!(limits.in_flight.is_empty(), "something is kept of them");
            Ok(())
        })
        .unwrap();
}
