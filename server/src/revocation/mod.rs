//! Strict revocation: once a logout was answered, no replica accepts the session's tokens (docs/decisions/0002).
//!
//! PostgreSQL holds every revocation. Redis holds a copy, so that a check takes one round trip, and may lose it at any
//! moment. Each copy has an *epoch*, a random name: the *marker*, a key of that Redis, holds it, and `revocation_state` in
//! PostgreSQL names the copy that may be trusted. A check reads the marker together with the session's key and uses the
//! answer only if the marker holds the trusted epoch. Otherwise it asks PostgreSQL.
//!
//! A replica trusts a Redis only while all of these hold; each is a *lease* that expires by itself (`latchkey-protocol`):
//! - PostgreSQL confirmed the epoch within the last [`TRUST`],
//! - Redis confirmed within the last [`TRUST`] that it still holds the data in which the epoch was set,
//! - the replica swept within the last `SWEEP_TRUST`: it copied to Redis every revocation that was committed since its last
//!   sweep, whether or not a replica announced it,
//! - its clock is within `CLOCK_MARGIN` of the database's.
//!
//! A revocation is committed and then written to Redis, and the marker is read after the write. If the marker holds the
//! trusted epoch, every replica sees the revocation, and the request is answered. If not, the replica withdraws the trust in
//! PostgreSQL and answers after [`TRUST`], when no replica trusts any Redis.
//!
//! A *refill* makes a new copy (`refill.rs`). It waits until no replica trusts any Redis, sets the marker to the new epoch,
//! names the epoch in PostgreSQL as the *candidate*, copies every revocation and makes PostgreSQL trust the epoch. If Redis
//! loses data meanwhile, it loses the marker too. A revocation that was written while the marker holds the candidate is in the
//! new copy and is answered too. Any other one withdraws the candidate, so that the refill fails.

mod keys;
mod lost_ends;
mod refill;
mod trust;
mod upkeep;

use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use redis::RedisError;
use tokio::sync::Notify;
use tracing::Instrument as _;
use uuid::Uuid;

use keys::Keys;
pub use latchkey_protocol::lease::TRUST;
use latchkey_protocol::lease::{ACCOUNT_KEY, answers_check, decide_check};
use trust::{Asked, Trust};

use crate::domain::clock::{ClockOffset, KEPT_AFTER_EXPIRY};
use crate::redis_connection::{Connection, ConnectionState, RedisConnection};
use crate::store::{EndedSessions, RevocationState, RevokedSession, Store, StoreError, SweepCursor};
use crate::telemetry::call_span;

/// The revocations of one pipeline. A pipeline has the response timeout of a single command, and a larger one would exceed it:
/// the connection would be dropped, and with it the trust in Redis, for every user. Between two pipelines other commands
/// have their turn.
const CHUNK: usize = 500;

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

/// A token that is checked.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// What ends: the session of a person's token, or the `jti` of a client's.
    id: Uuid,
    /// The account of the session; `None` for a client's token, which ends alone.
    user_id: Option<i64>,
    issued_at: DateTime<Utc>,
}

impl Subject {
    /// A person's token, which ends with its session.
    pub fn session(user_id: i64, session_id: Uuid, issued_at: DateTime<Utc>) -> Self {
        Self { id: session_id, user_id: Some(user_id), issued_at }
    }

    /// A client's token.
    pub fn client_token(jti: Uuid, issued_at: DateTime<Utc>) -> Self {
        Self { id: jti, user_id: None, issued_at }
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
    /// When the server of the database was started, in microseconds; 0 before it has answered.
    database_started_at: AtomicI64,
    /// The Redis connection and the database server for which ends were last compared.
    ends_compared: Mutex<Option<(u64, i64)>>,
    /// Wakes the upkeep when Redis seems to have lost data.
    recheck: Notify,
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
            database_started_at: AtomicI64::new(0),
            ends_compared: Mutex::default(),
            recheck: Notify::new(),
        })
    }

    /// Whether a token is revoked.
    ///
    /// # Errors
    /// [`RevocationError`] when neither can answer: the caller must refuse.
    pub async fn is_revoked(&self, subject: Subject) -> Result<bool, RevocationError> {
        match self.ask_redis(subject).await {
            Some(answer) => Ok(answer),
            None => self.is_over(subject).await,
        }
    }

    /// The same without Redis's copy, for when Redis did not answer.
    ///
    /// # Errors
    /// As [`Revocation::is_revoked`].
    pub async fn is_over(&self, subject: Subject) -> Result<bool, RevocationError> {
        let is_over = match subject.user_id {
            Some(_) => self.store.session_is_over(subject.id).await?,
            None => self.store.client_token_is_over(subject.id, subject.issued_at).await?,
        };
        Ok(is_over || self.is_end_in_redis(subject.id).await)
    }

    /// Announces committed revocations to every replica before it returns.
    ///
    /// # Errors
    /// [`RevocationError`] when not every replica is known to have learnt of them; the caller must not report
    /// success.
    pub async fn announce(&self, revoked: &[RevokedSession]) -> Result<(), RevocationError> {
        if revoked.is_empty() { Ok(()) } else { self.announce_all(None, revoked).await }
    }

    /// The same for sessions of one account. If there are many, the account is announced instead: PostgreSQL answers its
    /// checks until every replica has swept.
    ///
    /// # Errors
    /// As [`Revocation::announce`].
    pub async fn announce_ended(&self, ended: &EndedSessions) -> Result<(), RevocationError> {
        if ended.has_more {
            self.announce_all(Some(ended.user_id), &[]).await
        } else {
            self.announce(&ended.sessions).await
        }
    }

    async fn announce_all(
        &self,
        account: Option<i64>,
        revoked: &[RevokedSession],
    ) -> Result<(), RevocationError> {
        if let Some(written) = self.write_to_redis(account, revoked).await {
            if written.trusted {
                return Ok(());
            }
            // Read after the write: which copy is trusted now, or being made?
            let record = self.fetch_state().await?.record();
            if record.covers(written.marker.as_deref(), written.connection.link()) {
                return Ok(());
            }
        }
        tracing::info!(
            "a revocation could not be written to a trusted Redis; no replica trusts one until it is filled"
        );
        let withdrawn = self.store.distrust_redis().await?.record();
        let until = self.trust.expired_everywhere_at(&withdrawn, Instant::now());
        self.recheck.notify_one();
        tokio::time::sleep_until(until.into()).await;
        Ok(())
    }

    /// The store that would answer a check now.
    pub fn mode(&self) -> RevocationMode {
        match self.redis.connection() {
            Some(connection) if self.trust.trusted_state(&connection, Instant::now()).is_some() => {
                RevocationMode::Redis
            }
            _ => RevocationMode::Postgres,
        }
    }

    /// How far the database's clock is from this replica's; `None` before it has answered.
    pub fn clock(&self) -> Option<ClockOffset> {
        self.trust.clock()
    }

    pub fn redis_state(&self) -> ConnectionState {
        self.redis.state()
    }

    /// Reads PostgreSQL's trust in Redis and stores it.
    async fn fetch_state(&self) -> Result<RevocationState, StoreError> {
        let asked = Asked::now();
        let state = self.store.revocation_state().await?;
        self.see_server(state.server_started_at);
        let keys = Keys::new(&self.issuer, &state);
        self.redis.set_key_prefix(&keys.prefix);
        self.trust.confirm(&state, keys, asked, Asked::now());
        Ok(state)
    }

    /// `None` when Redis cannot be trusted.
    async fn ask_redis(&self, subject: Subject) -> Option<bool> {
        let asked = self.ask_redis_for_all(std::slice::from_ref(&subject));
        asked.instrument(call_span("redis", "MGET")).await.into_iter().next().flatten()
    }

    /// Whether each token is revoked, in one round trip; `None` for those of which PostgreSQL has to be asked.
    pub async fn ask_redis_for_all(&self, subjects: &[Subject]) -> Vec<Option<bool>> {
        let answers = self.read_from_redis(subjects).await;
        answers.unwrap_or_else(|| vec![None; subjects.len()])
    }

    /// `None` when Redis cannot be trusted.
    async fn read_from_redis(&self, subjects: &[Subject]) -> Option<Vec<Option<bool>>> {
        let connection = self.redis.connection()?;
        let before = self.trust.trusted_state(&connection, Instant::now())?;
        let mut command = redis::cmd("MGET");
        command.arg(&before.keys.marker);
        for subject in subjects {
            command.arg(before.keys.revoked(subject.id));
            if let Some(user_id) = subject.user_id {
                command.arg(before.keys.account(user_id));
            }
        }
        let answer: Result<(Option<String>, Vec<Option<i32>>), _> =
            command.query_async(&mut connection.stream()).await.and_then(|values: Vec<redis::Value>| {
                let mut values = values.into_iter();
                let marker = redis::from_redis_value(values.next().unwrap_or(redis::Value::Nil))?;
                let keys = values.map(redis::from_redis_value).collect::<Result<_, _>>()?;
                Ok((marker, keys))
            });
        match answer {
            Ok((marker, keys)) => {
                // Checked again after the answer: Redis must have been trusted when it was read.
                let trusted = self.trust.trusted_state(&connection, Instant::now())?;
                let accounts = subjects.iter().filter(|subject| subject.user_id.is_some()).count();
                let is_complete = keys.len() == subjects.len() + accounts;
                if is_complete && answers_check(&before.epoch, marker.as_deref(), &trusted.epoch) {
                    let valid_from = trusted.tokens_valid_from.timestamp();
                    let mut keys = keys.into_iter();
                    let mut is_set = || keys.next().flatten().is_some();
                    let decide = |subject: &Subject| {
                        // Token times have a resolution of one second.
                        let too_old = subject.issued_at.timestamp() < valid_from;
                        let has_ended = is_set();
                        decide_check(too_old || has_ended, subject.user_id.is_some() && is_set())
                    };
                    return Some(subjects.iter().map(decide).collect());
                }
                self.recheck.notify_one();
                None
            }
            Err(error) => {
                self.redis.report_failure(&connection, &error);
                self.recheck.notify_one();
                None
            }
        }
    }

    /// Writes the revocations, and that Redis lacks others of an account, to the current Redis; `None` when that failed.
    async fn write_to_redis(&self, account: Option<i64>, revoked: &[RevokedSession]) -> Option<Written> {
        let connection = self.redis.connection()?;
        let keys = self.trust.keys()?;
        let mut chunks = revoked.chunks(CHUNK);
        let last = chunks.next_back().unwrap_or_default();
        for chunk in chunks {
            let written = write_chunk(&connection, &keys, chunk.iter()).await;
            if let Err(error) = written {
                self.redis.report_failure(&connection, &error);
                return None;
            }
        }
        let mut pipeline = redis::pipe();
        for session in last {
            add_revocation(&mut pipeline, &keys, session);
        }
        if let Some(user_id) = account {
            add_account(&mut pipeline, &keys, user_id);
        }
        // Read last: if the keys are lost after they were written, so is the marker.
        pipeline.cmd("GET").arg(&keys.marker);
        let answer: Result<(Option<String>,), _> =
            pipeline.query_async(&mut connection.stream()).instrument(call_span("redis", "PIPELINE")).await;
        match answer {
            Ok((marker,)) => {
                let trusted = self.trust.trusted_state(&connection, Instant::now());
                let trusted = trusted.is_some_and(|trusted| marker.as_deref() == Some(&*trusted.epoch));
                Some(Written { trusted, marker, connection })
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
    /// The marker after they were written.
    marker: Option<String>,
    connection: Arc<Connection>,
}

/// Writes at most [`CHUNK`] revocations.
async fn write_chunk(
    connection: &Connection,
    keys: &Keys,
    revoked: impl Iterator<Item = &RevokedSession>,
) -> Result<(), RedisError> {
    let mut pipeline = redis::pipe();
    for session in revoked {
        add_revocation(&mut pipeline, keys, session);
    }
    pipeline.query_async(&mut connection.stream()).instrument(call_span("redis", "PIPELINE")).await
}

fn add_account(pipeline: &mut redis::Pipeline, keys: &Keys, user_id: i64) {
    pipeline.cmd("SET").arg(keys.account(user_id)).arg(1).arg("EX").arg(ACCOUNT_KEY.as_secs()).ignore();
}

fn add_revocation(pipeline: &mut redis::Pipeline, keys: &Keys, session: &RevokedSession) {
    let left = (session.expires_at - Utc::now()).max(TimeDelta::zero()) + KEPT_AFTER_EXPIRY;
    let key = keys.revoked(session.session_id);
    pipeline.cmd("SET").arg(key).arg(1).arg("EX").arg(left.num_seconds()).ignore();
}
