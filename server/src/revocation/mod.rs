//! Strict revocation (docs/decisions/0002-strict-revocation.md).
//!
//! PostgreSQL decides; Redis is a fast copy that may lose all its data at any moment. The rule that
//! keeps this strict: **a replica trusts a Redis only while**
//! - PostgreSQL confirmed within the last [`TRUST`] that the marker which that Redis shows is the right one,
//! - Redis confirmed within the last [`TRUST`] that it still holds the data in which the marker was set,
//! - the replica has swept within the last `SWEEP_TRUST`: it has copied to Redis every revocation that was committed since
//!   its last sweep, whether or not a replica announced it,
//! - its clock is within `CLOCK_MARGIN` of the database's.
//!
//! A revocation is answered when either
//! - it is in the Redis that every replica trusts (the ordinary case, one round trip), or
//! - the trust was withdrawn in PostgreSQL and [`TRUST`] has passed, so that no replica trusts any Redis.

mod keys;
mod refill;
mod trust;
mod upkeep;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tracing::Instrument as _;
use uuid::Uuid;

use keys::Keys;
pub use trust::TRUST;
use trust::{Asked, Trust, is_of};

use crate::domain::clock::{ClockOffset, KEPT_AFTER_EXPIRY};
use crate::redis_connection::{ConnectionState, RedisConnection};
use crate::store::{RevocationState, RevokedSession, Store, StoreError, SweepCursor};
use crate::telemetry::call_span;

/// Neither Redis nor PostgreSQL could answer.
#[derive(Debug, thiserror::Error)]
#[error("revocation cannot be checked: {0}")]
pub struct RevocationError(#[from] pub StoreError);

/// The store that answers checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationMode {
    /// The trusted Redis.
    Redis,
    /// PostgreSQL, until a Redis is trusted again.
    Postgres,
}

impl RevocationMode {
    /// The name in status and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

/// Checks and announces revocations. Share it with an [`Arc`].
pub struct Revocation {
    redis: Arc<RedisConnection>,
    trust: Trust,
    store: Store,
    issuer: String,
    /// The result of the last sweep; `None` before the first.
    cursor: Mutex<Option<SweepCursor>>,
    /// Redis may have lost data without a sign of it, and PostgreSQL has not recorded that yet.
    withdrawal_due: AtomicBool,
    /// Wakes the upkeep when a check finds that Redis has lost data.
    suspicion: Notify,
}

impl Revocation {
    /// Connects the link while [`Revocation::keep_up`] runs.
    ///
    /// Services of different `issuer`s never share keys in Redis.
    pub fn new(redis: Arc<RedisConnection>, store: Store, issuer: &str) -> Arc<Self> {
        Arc::new(Self {
            redis,
            trust: Trust::default(),
            store,
            issuer: issuer.to_owned(),
            cursor: Mutex::default(),
            withdrawal_due: AtomicBool::new(false),
            suspicion: Notify::new(),
        })
    }

    /// Whether a token of this session that was issued at this time is revoked.
    ///
    /// # Errors
    /// [`RevocationError`] when neither can answer: the caller must refuse.
    pub async fn is_revoked(
        &self,
        session_id: Uuid,
        issued_at: DateTime<Utc>,
    ) -> Result<bool, RevocationError> {
        match self.ask_redis(session_id, issued_at).await {
            Some(answer) => Ok(answer),
            None => Ok(self.store.session_is_over(session_id).await?),
        }
    }

    /// Announces committed revocations to every replica before it returns.
    ///
    /// # Errors
    /// [`RevocationError`] when not every replica is known to have learnt of them; the caller must not report
    /// success.
    pub async fn announce(&self, revoked: &[RevokedSession]) -> Result<(), RevocationError> {
        if revoked.is_empty() {
            return Ok(());
        }
        if let Some(written) = self.write_to_redis(revoked).await {
            if written.trusted {
                return Ok(());
            }
            // Read after the write: which Redis is trusted now, or being filled?
            let state = self.fetch_state().await?;
            if written.stands_where_it_counts(&state) {
                return Ok(());
            }
        }
        tracing::info!(
            "a revocation could not be written to a trusted Redis; no replica trusts one until it is filled"
        );
        let state = self.store.distrust_redis().await?;
        let until = self.trust.everybody_knows_at(&state, Instant::now());
        self.suspicion.notify_one();
        tokio::time::sleep_until(until.into()).await;
        Ok(())
    }

    /// The store that would answer a check now.
    pub fn mode(&self) -> RevocationMode {
        match self.redis.connection() {
            Some(connection) if self.trust.belief(&connection, Instant::now()).is_some() => {
                RevocationMode::Redis
            }
            _ => RevocationMode::Postgres,
        }
    }

    /// How far the database's clock is from this replica's; `None` before it has answered.
    pub fn clock(&self) -> Option<ClockOffset> {
        self.trust.clock()
    }

    /// The state of the connection to Redis.
    pub fn redis_state(&self) -> ConnectionState {
        self.redis.state()
    }

    /// Reads PostgreSQL's trust in Redis and stores it.
    async fn fetch_state(&self) -> Result<RevocationState, StoreError> {
        let asked = Asked::now();
        let state = self.store.revocation_state().await?;
        let keys = Keys::new(&self.issuer, &state);
        self.redis.set_key_prefix(&keys.prefix);
        self.trust.confirm(&state, keys, asked, Asked::now());
        Ok(state)
    }

    /// `None` when Redis cannot be trusted.
    async fn ask_redis(&self, session_id: Uuid, issued_at: DateTime<Utc>) -> Option<bool> {
        let connection = self.redis.connection()?;
        let before = self.trust.belief(&connection, Instant::now())?;
        let answer: Result<(Option<String>, Option<i32>), _> = redis::cmd("MGET")
            .arg(&before.keys.marker)
            .arg(before.keys.revoked(session_id))
            .query_async(&mut connection.stream())
            .instrument(call_span("redis", "MGET"))
            .await;
        match answer {
            Ok((marker, revoked)) => {
                // Checked again after the answer: Redis must have been trusted when it was read.
                let belief = self.trust.belief(&connection, Instant::now())?;
                if marker.as_deref() == Some(&*belief.epoch) {
                    // Token times have a resolution of one second.
                    let too_old = issued_at.timestamp() < belief.tokens_valid_from.timestamp();
                    return Some(too_old || revoked.is_some());
                }
                self.suspicion.notify_one();
                None
            }
            Err(error) => {
                self.redis.report_failure(&connection, &error);
                self.suspicion.notify_one();
                None
            }
        }
    }

    /// Writes the revocations to the current Redis; `None` when that failed.
    async fn write_to_redis(&self, revoked: &[RevokedSession]) -> Option<Written> {
        let connection = self.redis.connection()?;
        let keys = self.trust.keys()?;
        let mut pipeline = redis::pipe();
        for session in revoked {
            add_revocation(&mut pipeline, &keys, session);
        }
        // Read last: the marker and the guard are read after the keys were written.
        pipeline.cmd("MGET").arg(&keys.marker).arg(&keys.guard);
        let answer: Result<((Option<String>, Option<String>),), _> =
            pipeline.query_async(&mut connection.stream()).instrument(call_span("redis", "PIPELINE")).await;
        match answer {
            Ok(((marker, guard),)) => {
                let belief = self.trust.belief(&connection, Instant::now());
                Some(Written {
                    trusted: belief.is_some_and(|belief| marker.as_deref() == Some(&*belief.epoch)),
                    // One of other data was copied or restored along with it.
                    shown: [marker, guard]
                        .into_iter()
                        .flatten()
                        .filter(|shown| is_of(shown, &connection))
                        .collect(),
                })
            }
            Err(error) => {
                self.redis.report_failure(&connection, &error);
                None
            }
        }
    }
}

/// Where revocations were written.
struct Written {
    /// To the Redis that every replica trusts.
    trusted: bool,
    /// The marker and the guard that it showed after they were written.
    shown: Vec<String>,
}

impl Written {
    /// Whether the revocations are in the Redis that is trusted now, or will be when the current refill is done.
    /// Data lost between the write and then includes the marker or the guard. No replica trusts an older
    /// one: a refill starts when the last trust has expired.
    fn stands_where_it_counts(&self, state: &RevocationState) -> bool {
        let counts = state.redis_epoch.as_ref().or(state.filling.as_ref());
        counts.is_some_and(|counts| self.shown.contains(counts))
    }
}

fn add_revocation(pipeline: &mut redis::Pipeline, keys: &Keys, session: &RevokedSession) {
    let left = (session.expires_at - Utc::now()).max(TimeDelta::zero()) + KEPT_AFTER_EXPIRY;
    let key = keys.revoked(session.session_id);
    pipeline.cmd("SET").arg(key).arg(1).arg("EX").arg(left.num_seconds()).ignore();
}
