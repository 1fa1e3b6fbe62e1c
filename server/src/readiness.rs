//! Whether this replica can serve, and the state of each dependency.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use latchkey_keyset::PublicKeySet;
use serde::Serialize;
use tokio::sync::{Notify, SetOnce};

use crate::crypto::{HashPool, KeyRing, LoadedKey};
use crate::domain::clock::{CLOCK_MARGIN, ClockOffset};
use crate::mail::OutboxWorker;
use crate::metrics::{Metrics, StateGauge};
use crate::redis_connection::ConnectionState;
use crate::revocation::{Revocation, RevocationMode};
use crate::store::{ConnectionLimit, REQUIRED_SCHEMA_VERSION, Store, StoreError, describe_unfit};
use crate::token_review::{ReviewState, TokenReviews};

#[derive(Debug, Clone, Serialize)]
pub struct Dependency {
    /// Whether it is usable.
    pub ready: bool,
    /// One sentence: the fault, or that the dependency works.
    pub message: String,
    /// A machine-readable reason, for faults that the operator handles differently from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// The database answers, but accepts no writes.
const READ_ONLY: &str = "read_only";

/// The body of `/readyz`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether this replica can serve requests.
    pub ready: bool,
    /// By name: database, schema, clock, redis, signing_keys; first_superuser, mail, login and token_reviews where they
    /// are set.
    pub dependencies: BTreeMap<&'static str, Dependency>,
}

/// The pool of database connections of this replica.
#[derive(Debug, Clone, Serialize)]
pub struct DatabasePool {
    /// The largest number of connections (`DATABASE_POOL_SIZE`).
    pub size: u32,
    /// The connections that exist.
    pub open: u32,
    /// Those of them that are idle.
    pub idle: usize,
    /// The replicas that use the database; `null` until it has answered.
    pub replicas: Option<i64>,
    /// The connections that the database allows to the user of this server; `null` until it has answered.
    pub connection_limit: Option<i64>,
    /// One sentence when the pools of all replicas exceed the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Checks every dependency of this replica. Share it with an [`Arc`].
pub struct Readiness {
    store: Store,
    revocation: Arc<Revocation>,
    ring: Arc<KeyRing>,
    hashing: Arc<HashPool>,
    outbox: Option<Arc<OutboxWorker>>,
    token_reviews: Option<Arc<TokenReviews>>,
    stopping: AtomicBool,
    /// Set by the first check that succeeds.
    was_ready: SetOnce<()>,
    /// -1 until the database has answered.
    schema_version: AtomicI64,
    /// Notified when the schema is found missing or too old.
    schema_missing: Notify,
    /// Why the configured first superuser could not be created yet.
    first_superuser: Mutex<Option<String>>,
    /// What was last read; `None` until the database has answered.
    connection_limit: Mutex<Option<ConnectionLimit>>,
    /// The outcome of the last login probe; `None` before the first.
    login: Mutex<Option<Result<(), String>>>,
}

impl Readiness {
    /// Creates the checks; runs none of them.
    pub fn new(
        store: Store,
        revocation: Arc<Revocation>,
        ring: Arc<KeyRing>,
        hashing: Arc<HashPool>,
        outbox: Option<Arc<OutboxWorker>>,
        token_reviews: Option<Arc<TokenReviews>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            revocation,
            ring,
            hashing,
            outbox,
            token_reviews,
            stopping: AtomicBool::new(false),
            was_ready: SetOnce::new(),
            schema_version: AtomicI64::new(-1),
            schema_missing: Notify::new(),
            first_superuser: Mutex::new(None),
            connection_limit: Mutex::new(None),
            login: Mutex::new(None),
        })
    }

    /// Makes `/readyz` fail from now on: the first step of shutting down.
    pub fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Sets why the first superuser could not be created; `None` clears it.
    pub fn set_first_superuser_fault(&self, fault: Option<String>) {
        if let Ok(mut slot) = self.first_superuser.lock() {
            *slot = fault;
        }
    }

    /// Sets the outcome of a login probe.
    pub fn set_login(&self, outcome: Result<(), String>) {
        if let Ok(mut slot) = self.login.lock() {
            *slot = Some(outcome);
        }
    }

    /// Sets how many connections the database allows.
    pub fn set_connection_limit(&self, limit: ConnectionLimit) {
        if let Ok(mut slot) = self.connection_limit.lock() {
            *slot = Some(limit);
        }
    }

    /// The pool of database connections.
    pub fn database_pool(&self) -> DatabasePool {
        let (open, idle) = self.store.pool_size();
        let size = self.store.max_connections();
        let limit = self.connection_limit.lock().ok().and_then(|limit| *limit);
        DatabasePool {
            size,
            open,
            idle,
            replicas: limit.map(|limit| limit.replicas),
            connection_limit: limit.map(|limit| limit.limit),
            warning: limit.and_then(|limit| limit.describe_excess(size)),
        }
    }

    /// Checks every dependency.
    pub async fn check(&self) -> Report {
        let mut dependencies = BTreeMap::new();
        let (database, schema) = self.check_database().await;
        dependencies.insert("database", database);
        dependencies.insert("schema", schema);
        dependencies.insert("clock", self.check_clock());
        dependencies.insert("redis", self.check_redis());
        dependencies.insert("signing_keys", self.check_keys());
        if let Some(fault) = self.first_superuser.lock().ok().and_then(|fault| fault.clone()) {
            dependencies.insert("first_superuser", waiting(fault));
        }
        // The three below are reported, but do not affect readiness. People do not need the API server of Kubernetes.
        // E-mail waits in the outbox until the SMTP server works. A failed login probe must not remove the replica from
        // service: the other replicas probably fail too.
        let ready = dependencies.values().all(|dependency| dependency.ready);
        if let Some(outcome) = self.login.lock().ok().and_then(|outcome| outcome.clone()) {
            dependencies.insert("login", outcome.map_or_else(waiting, |()| good("works")));
        }
        if let Some(outbox) = &self.outbox {
            dependencies
                .insert("mail", outbox.fault().map_or_else(|| good("the SMTP server takes mail"), waiting));
        }
        if let Some(reviews) = &self.token_reviews {
            dependencies.insert("token_reviews", describe_reviews(reviews.state()));
        }
        if self.stopping.load(Ordering::Relaxed) {
            dependencies.insert("shutdown", waiting("this replica is shutting down".to_owned()));
            return Report { ready: false, dependencies };
        }
        if ready {
            // An error says that it was set before.
            let _ = self.was_ready.set(());
        }
        Report { ready, dependencies }
    }

    /// Waits until a check has succeeded since the start.
    pub async fn has_been_ready(&self) {
        self.was_ready.wait().await;
    }

    /// Updates the gauges that are measured on each scrape.
    pub async fn measure(&self, metrics: &Metrics) {
        let hash_pool = self.hashing.state();
        metrics.set_state(StateGauge::HashPool, "workers", count(hash_pool.workers));
        metrics.set_state(StateGauge::HashPool, "running", count(hash_pool.running));
        metrics.set_state(StateGauge::HashPool, "waiting", count(hash_pool.waiting));
        let (open, idle) = self.store.pool_size();
        metrics.set_state(StateGauge::DatabasePool, "open", f64::from(open));
        metrics.set_state(StateGauge::DatabasePool, "idle", count(idle));
        let mode = self.revocation.mode();
        for known in [RevocationMode::Redis, RevocationMode::Postgres] {
            metrics.set_state(
                StateGauge::RevocationMode,
                known.as_str(),
                if known == mode { 1.0 } else { 0.0 },
            );
        }
        // Together, so that a silent database delays the answer by one deadline only.
        let (mail, report) = tokio::join!(self.store.count_mail(), self.check());
        if let Ok(mail) = mail {
            #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
            let (pending, dead) = (mail.pending as f64, mail.dead as f64);
            metrics.set_state(StateGauge::Outbox, "pending", pending);
            metrics.set_state(StateGauge::Outbox, "dead", dead);
        }
        for (name, dependency) in report.dependencies {
            metrics.set_state(StateGauge::Dependency, name, if dependency.ready { 1.0 } else { 0.0 });
        }
    }

    /// How many passwords are hashed at the same time.
    pub fn hash_workers(&self) -> usize {
        self.hashing.state().workers
    }

    /// Which store answers revocation checks, and why.
    pub fn revocation(&self) -> (RevocationMode, String) {
        let mode = self.revocation.mode();
        let message = match (mode, self.revocation.redis_state()) {
            (RevocationMode::Redis, _) => "Redis is complete and answers".to_owned(),
            (RevocationMode::Postgres, _)
                if self.revocation.clock().is_some_and(ClockOffset::exceeds_margin) =>
            {
                "PostgreSQL answers: this replica's clock is too far from the database's".to_owned()
            }
            (RevocationMode::Postgres, ConnectionState::Up) => {
                "PostgreSQL answers until Redis has been filled from it".to_owned()
            }
            (
                RevocationMode::Postgres,
                ConnectionState::Lost(reason)
                | ConnectionState::Limited(reason)
                | ConnectionState::NeverUp(reason)
                | ConnectionState::Refused(reason),
            ) => format!("PostgreSQL answers: {reason}"),
        };
        (mode, message)
    }

    /// The schema version that was last observed.
    pub fn schema_version(&self) -> Option<i64> {
        Some(self.schema_version.load(Ordering::Relaxed)).filter(|version| *version >= 0)
    }

    /// Waits until a check finds the schema missing or too old. On a replica that has served before, the database was
    /// lost or restored from an older backup.
    pub async fn schema_found_missing(&self) {
        self.schema_missing.notified().await;
    }

    /// The keys in use.
    pub fn loaded_keys(&self) -> Vec<LoadedKey> {
        self.ring.loaded()
    }

    /// The published keys, and for how many seconds a verifier may cache them.
    pub fn public_keys(&self) -> Option<(PublicKeySet, u32)> {
        self.ring.public()
    }

    async fn check_database(&self) -> (Dependency, Dependency) {
        let found = match self.store.schema().await {
            Ok(found) => found,
            Err(error) => {
                let reason = matches!(error, StoreError::ReadOnly(_)).then_some(READ_ONLY);
                let database = Dependency { reason, ..waiting(error.to_string()) };
                return (database, waiting("the database has to be usable first".to_owned()));
            }
        };
        self.schema_version.store(found.known(), Ordering::Relaxed);
        if found.known() < REQUIRED_SCHEMA_VERSION {
            self.schema_missing.notify_one();
        }
        let schema = describe_unfit(&found).map_or_else(|| good("current"), waiting);
        (good("answers"), schema)
    }

    /// The replica decides by its own clock whether a token has expired.
    fn check_clock(&self) -> Dependency {
        match self.revocation.clock() {
            None => waiting("the database has to answer first".to_owned()),
            Some(offset) if offset.exceeds_margin() => waiting(describe_clock(offset)),
            Some(_) => good(CLOCK_AGREES),
        }
    }

    /// A Redis that worked and was lost, or that refuses commands, does not affect readiness: PostgreSQL answers instead.
    fn check_redis(&self) -> Dependency {
        match self.revocation.redis_state() {
            ConnectionState::Up => good("connected"),
            ConnectionState::Lost(reason) | ConnectionState::Limited(reason) => {
                good(&format!("{reason}; PostgreSQL answers in its place"))
            }
            ConnectionState::NeverUp(reason) | ConnectionState::Refused(reason) => waiting(reason),
        }
    }

    fn check_keys(&self) -> Dependency {
        if self.ring.loaded().is_empty() {
            waiting("no key set is loaded".to_owned())
        } else {
            good("loaded")
        }
    }
}

/// The message for a clock that is right.
pub const CLOCK_AGREES: &str = "agrees with the database's";

/// The message for a clock that differs too much from the database's.
pub fn describe_clock(offset: ClockOffset) -> String {
    let margin = CLOCK_MARGIN.num_minutes();
    let difference = offset.describe("this replica's clock", "the database's");
    format!("{difference}; at most {margin} minutes are allowed: synchronize both clocks")
}

fn describe_reviews(state: ReviewState) -> Dependency {
    match state {
        ReviewState::Available => good("the API server reviews tokens of service accounts"),
        ReviewState::Unknown => waiting("the API server was not asked yet".to_owned()),
        ReviewState::Unavailable => waiting("the API server does not answer".to_owned()),
        ReviewState::Forbidden => Dependency {
            reason: Some("forbidden"),
            ..waiting("the service account of this server may not create TokenReviews".to_owned())
        },
    }
}

fn good(message: &str) -> Dependency {
    Dependency { ready: true, message: message.to_owned(), reason: None }
}

fn waiting(message: String) -> Dependency {
    Dependency { ready: false, message, reason: None }
}

#[expect(clippy::cast_precision_loss, reason = "counts of threads and connections")]
fn count(number: usize) -> f64 {
    number as f64
}
