//! Rate limits (docs/decisions/0005-rate-limits.md). All replicas count together in Redis, and each one alone in memory
//! while Redis is unavailable. Redis decides about no token here: it need not be the one that revocation trusts, and lost
//! counts only allow an attacker a few more attempts.

mod answer;
mod bucket;
mod in_flight;
mod memory;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{RedisError, Script};
use tracing::Instrument as _;

use answer::Answer;
pub use bucket::{Bucket, Scope};
use in_flight::{InFlight, Place};
use memory::Memory;

use crate::domain::rate_limit::Refusal;
use crate::redis_connection::RedisConnection;
use crate::telemetry::call_span;

/// How long an attempt waits for attempts in flight to give back.
const MOST_PATIENCE: Duration = Duration::from_secs(3);

/// The wait of a refused attempt that depends on attempts in flight.
const SOON: Duration = Duration::from_secs(1);

static CONSUME: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("consume.lua")));
static REFUND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("refund.lua")));

/// A refused attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// The time until the next attempt may succeed.
    pub wait: Duration,
    /// The kind of bucket that refused it.
    pub scope: Scope,
    /// Whether to audit this refusal: once a minute for each bucket, so that an attacker cannot flood the audit.
    pub audit: bool,
}

/// Counts attempts. Share it with an [`Arc`].
pub struct Limits {
    redis: Arc<RedisConnection>,
    memory: Memory,
    in_flight: InFlight,
}

/// An accepted attempt. What it has taken stays taken unless it is given back.
#[must_use]
pub struct Attempt<'a> {
    limits: &'a Limits,
    buckets: Vec<Bucket>,
    place: Place<'a>,
}

impl Limits {
    /// Creates limits that count in this Redis.
    pub fn new(redis: Arc<RedisConnection>) -> Self {
        Self { redis, memory: Memory::new(), in_flight: InFlight::default() }
    }

    /// Takes one unit from each bucket, or none from any. Waits for attempts in flight that have emptied a bucket: they give
    /// back if they succeed, so that any number of concurrent correct passwords is accepted.
    ///
    /// # Errors
    /// [`Limited`] when one of them stays empty.
    pub async fn begin(&self, buckets: Vec<Bucket>) -> Result<Attempt<'_>, Limited> {
        let deadline = tokio::time::Instant::now() + MOST_PATIENCE;
        let mut audit_due = false;
        let mut place = self.in_flight.enter(&buckets);
        loop {
            let (refusal, audit) = match self.consume(&buckets).await {
                Answer::Taken => return Ok(Attempt { limits: self, buckets, place }),
                Answer::Refused { refusal, audit } => (refusal, audit),
            };
            // Kept across retries: the bucket reports a due audit only once.
            audit_due |= audit;
            let wait = Duration::from_micros(refusal.wait.unsigned_abs());
            let limited = Limited { wait, scope: buckets[refusal.bucket].scope, audit: audit_due };
            place = match tokio::time::timeout_at(deadline, place.await_return(refusal.bucket)).await {
                Ok(Some(place)) if tokio::time::Instant::now() < deadline => place,
                Ok(None) => return Err(limited),
                // The attempts in flight may still succeed.
                Ok(Some(_)) | Err(_) => return Err(Limited { wait: SOON, ..limited }),
            };
        }
    }

    async fn consume(&self, buckets: &[Bucket]) -> Answer {
        if buckets.is_empty() {
            return Answer::Taken;
        }
        match self.call_consume(buckets).await {
            Some((0, ..)) => Answer::Taken,
            Some((number, wait, audit, _)) => {
                Answer::Refused { refusal: Refusal { bucket: number - 1, wait }, audit }
            }
            None => self.memory.consume(buckets),
        }
    }

    /// The refusing bucket (from 1; 0: none), the wait, whether to audit, the time of Redis.
    async fn call_consume(&self, buckets: &[Bucket]) -> Option<(usize, i64, bool, i64)> {
        let prefix = self.redis.key_prefix()?;
        let mut call = CONSUME.prepare_invoke();
        for bucket in buckets {
            call.key(bucket.key.in_redis(&prefix)).arg(bucket.rate.interval()).arg(bucket.rate.span());
        }
        self.call(&call).await
    }

    async fn refund(&self, buckets: &[Bucket]) {
        // Units taken in one place are not given back in the other: rare, and it costs at most one attempt.
        if self.call_refund(buckets).await.is_none() {
            self.memory.refund(buckets);
        }
    }

    /// The time of Redis.
    async fn call_refund(&self, buckets: &[Bucket]) -> Option<i64> {
        let prefix = self.redis.key_prefix()?;
        let mut call = REFUND.prepare_invoke();
        for bucket in buckets {
            call.key(bucket.key.in_redis(&prefix)).arg(bucket.rate.interval());
        }
        self.call(&call).await
    }

    /// `None` when Redis cannot answer.
    async fn call<T: redis::FromRedisValue>(&self, call: &redis::ScriptInvocation<'_>) -> Option<T> {
        let connection = self.redis.connection()?;
        match call.invoke_async(&mut connection.stream()).instrument(call_span("redis", "EVALSHA")).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                if is_of_the_connection(&error) {
                    self.redis.report_failure(&connection, &error);
                } else {
                    tracing::warn!(code = error.code(), "Redis did not count an attempt; this replica does");
                }
                None
            }
        }
    }
}

/// Drops the shared connection only for an error that concerns revocation too, not because Redis supports no scripts or has
/// no memory left.
fn is_of_the_connection(error: &RedisError) -> bool {
    error.is_timeout() || error.is_io_error() || error.is_connection_dropped()
}

impl Attempt<'_> {
    /// Gives back what the attempt has taken: it was no guess, or its result reveals nothing to a guesser.
    pub async fn give_back(self) {
        if !self.buckets.is_empty() {
            self.limits.refund(&self.buckets).await;
        }
        self.place.give_back();
    }
}

#[cfg(test)]
mod tests;
