//! Strict revocation (docs/decisions/0002-strict-revocation.md).
//!
//! PostgreSQL decides; Redis is a copy that answers fast and may lose everything at any moment. The rule that
//! keeps this strict: **no replica believes a Redis unless PostgreSQL confirmed within the last [`TRUST`]
//! that the marker which that Redis shows is the right one.** A revocation is answered when either
//! - it stands in the Redis that everybody believes (the ordinary case, one round trip), or
//! - the belief was withdrawn in PostgreSQL and [`TRUST`] has passed, so that nobody believes any Redis.

mod refill;
mod trust;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

pub use trust::TRUST;
use trust::Trust;

use crate::redis_link::{Connection, LinkState, RedisLink};
use crate::store::{RevocationState, RevokedSession, Store, StoreError};
use crate::telemetry::call_span;

const MARKER_KEY: &str = "latchkey:epoch";
const REVOKED_PREFIX: &str = "latchkey:revoked:";

/// Neither Redis nor PostgreSQL could answer.
#[derive(Debug, thiserror::Error)]
#[error("revocation cannot be checked: {0}")]
pub struct RevocationError(#[from] pub StoreError);

/// Who answers just now.
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
    link: Arc<RedisLink>,
    trust: Trust,
    store: Store,
    /// Wakes the upkeep when a check saw that Redis has lost something.
    suspicion: Notify,
}

impl Revocation {
    /// Connects the link while [`Revocation::keep_up`] runs.
    pub fn new(link: Arc<RedisLink>, store: Store) -> Arc<Self> {
        Arc::new(Self { link, trust: Trust::default(), store, suspicion: Notify::new() })
    }

    /// Whether a token of this session, issued then, is revoked.
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

    /// Makes revocations that were committed known to every replica before it returns.
    ///
    /// # Errors
    /// [`RevocationError`] when it cannot be known that every replica learnt of them; the caller must not say
    /// that it is done.
    pub async fn announce(&self, revoked: &[RevokedSession]) -> Result<(), RevocationError> {
        if revoked.is_empty() {
            return Ok(());
        }
        if let Some(written) = self.write_to_redis(revoked).await {
            if written.trusted {
                return Ok(());
            }
            // Asked after the writing: which Redis is believed now, or being filled to be believed?
            let asked_at = Instant::now();
            let state = self.store.revocation_state().await?;
            self.trust.confirm(&state, asked_at, Instant::now());
            if written.stands_where_it_counts(&state) {
                return Ok(());
            }
        }
        let state = self.store.distrust_redis().await?;
        let until = self.trust.everybody_knows_at(&state, Instant::now());
        self.suspicion.notify_one();
        tokio::time::sleep_until(until.into()).await;
        Ok(())
    }

    /// Who would answer a check now.
    pub fn mode(&self) -> RevocationMode {
        match self.link.connection() {
            Some(connection) if self.trust.belief(&connection, Instant::now()).is_some() => {
                RevocationMode::Redis
            }
            _ => RevocationMode::Postgres,
        }
    }

    /// How the connection to Redis is.
    pub fn link_state(&self) -> LinkState {
        self.link.state()
    }

    /// Keeps the trust fresh and Redis filled until `stop`.
    pub async fn keep_up(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_trust_fresh() => {}
            () = self.keep_redis_filled() => {}
        }
    }

    async fn keep_trust_fresh(&self) {
        let mut ticks = tokio::time::interval(TRUST / 4);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Taken before the question: what PostgreSQL answers was true then or later.
            let asked_at = Instant::now();
            if let Ok(state) = self.store.revocation_state().await {
                self.trust.confirm(&state, asked_at, Instant::now());
            }
        }
    }

    async fn keep_redis_filled(&self) {
        const INTERVAL: Duration = Duration::from_millis(500);
        const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
        const SWEEP_WINDOW: TimeDelta = TimeDelta::seconds(60);
        let mut last_sweep = None;
        loop {
            self.link.ensure_connected().await;
            if let Some(connection) = self.link.connection()
                && !self.refuse_if_it_evicts(&connection).await
            {
                let mut result = self.refill_if_needed(&connection).await;
                if matches!(result, Ok(refill::Outcome::NothingToDo))
                    && last_sweep.is_none_or(|at: Instant| at.elapsed() > SWEEP_INTERVAL)
                {
                    // The first time all of them: this replica may be the one that died.
                    let window = last_sweep.map(|_| SWEEP_WINDOW);
                    match self.copy_revocations(&connection, window).await {
                        Ok(_) => last_sweep = Some(Instant::now()),
                        Err(error) => result = Err(error),
                    }
                }
                self.report(&connection, result);
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = self.suspicion.notified() => {}
            }
        }
    }

    /// What somebody set in Redis since we connected may make it forget revocations, and its marker stays all the same.
    async fn refuse_if_it_evicts(&self, connection: &Connection) -> bool {
        let Some(reason) = self.link.find_eviction(connection).await else { return false };
        // Every replica is to ask PostgreSQL until Redis has been filled anew; if that cannot be made known now,
        // the next look does it.
        if self.store.distrust_redis().await.is_ok() {
            self.link.refuse(connection, reason);
        }
        true
    }

    fn report(&self, connection: &Connection, result: Result<refill::Outcome, refill::RefillError>) {
        match result {
            Ok(refill::Outcome::Filled(count)) => {
                tracing::info!(revocations = count, "Redis was filled from PostgreSQL and is trusted");
            }
            Ok(refill::Outcome::NothingToDo | refill::Outcome::AnotherReplica) => {}
            Ok(refill::Outcome::Overtaken) => {
                tracing::info!("a revocation or a flush overtook the filling of Redis; trying again");
            }
            Err(refill::RefillError::Redis(error)) => self.link.report_failure(connection, &error),
            Err(refill::RefillError::Store(error)) => {
                tracing::debug!(%error, "Redis cannot be checked against PostgreSQL just now");
            }
        }
    }

    /// `None` when Redis cannot be believed.
    async fn ask_redis(&self, session_id: Uuid, issued_at: DateTime<Utc>) -> Option<bool> {
        let connection = self.link.connection()?;
        self.trust.belief(&connection, Instant::now())?;
        let answer: Result<(Option<String>, Option<i32>), _> = redis::cmd("MGET")
            .arg(MARKER_KEY)
            .arg(revoked_key(session_id))
            .query_async(&mut connection.stream())
            .instrument(call_span("redis", "MGET"))
            .await;
        match answer {
            Ok((marker, revoked)) => {
                // Looked at again after the answer: the belief must have held when Redis was read.
                let belief = self.trust.belief(&connection, Instant::now())?;
                if marker.as_deref() == Some(&*belief.epoch) {
                    // A token's time has whole seconds.
                    let too_old = issued_at.timestamp() < belief.tokens_valid_from.timestamp();
                    return Some(too_old || revoked.is_some());
                }
                self.suspicion.notify_one();
                None
            }
            Err(error) => {
                self.link.report_failure(&connection, &error);
                self.suspicion.notify_one();
                None
            }
        }
    }

    /// Writes them to the Redis at hand; `None` when that failed.
    async fn write_to_redis(&self, revoked: &[RevokedSession]) -> Option<Written> {
        let connection = self.link.connection()?;
        let mut pipeline = redis::pipe();
        for session in revoked {
            add_revocation(&mut pipeline, session);
        }
        // Read last: the marker and the guard are seen after the keys were written.
        pipeline.cmd("MGET").arg(MARKER_KEY).arg(refill::GUARD_KEY);
        let answer: Result<((Option<String>, Option<String>),), _> =
            pipeline.query_async(&mut connection.stream()).instrument(call_span("redis", "PIPELINE")).await;
        match answer {
            Ok(((marker, guard),)) => {
                let belief = self.trust.belief(&connection, Instant::now());
                Some(Written {
                    trusted: belief.is_some_and(|belief| marker.as_deref() == Some(&*belief.epoch)),
                    // One of another process was copied or restored along with its data.
                    shown: [marker, guard]
                        .into_iter()
                        .flatten()
                        .filter(|shown| shown.starts_with(connection.run_id()))
                        .collect(),
                })
            }
            Err(error) => {
                self.link.report_failure(&connection, &error);
                None
            }
        }
    }
}

/// Where revocations were written to.
struct Written {
    /// Into the Redis that everybody believes.
    trusted: bool,
    /// The marker and the guard that it showed after they were written.
    shown: Vec<String>,
}

impl Written {
    /// Whether they stand in the Redis that is believed by now, or will be when the filling under way is done.
    /// What is lost between the writing and then takes the marker or the guard along. Nobody believes an older
    /// one: a filling begins when the last belief has run out.
    fn stands_where_it_counts(&self, state: &RevocationState) -> bool {
        let counts = state.redis_epoch.as_ref().or(state.filling.as_ref());
        counts.is_some_and(|counts| self.shown.contains(counts))
    }
}

fn revoked_key(session_id: Uuid) -> String {
    format!("{REVOKED_PREFIX}{session_id}")
}

fn add_revocation(pipeline: &mut redis::Pipeline, session: &RevokedSession) {
    // A minute longer than the tokens live: the clocks of Redis and of PostgreSQL may differ.
    let seconds = (session.expires_at - Utc::now()).num_seconds().max(0) + 60;
    pipeline.cmd("SET").arg(revoked_key(session.session_id)).arg(1).arg("EX").arg(seconds).ignore();
}
