//! What this replica waits for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use latchkey_keyset::PublicKeySet;
use serde::Serialize;
use tokio::sync::Notify;

use crate::crypto::{HashPool, KeyRing, LoadedKey};
use crate::domain::clock::{CLOCK_MARGIN, ClockOffset};
use crate::mail::OutboxWorker;
use crate::metrics::{Metrics, StateGauge};
use crate::redis_connection::ConnectionState;
use crate::revocation::{Revocation, RevocationMode};
use crate::store::{REQUIRED_SCHEMA_VERSION, Store, StoreError, describe_unfit};

/// One dependency.
#[derive(Debug, Clone, Serialize)]
pub struct Dependency {
    /// Whether it is usable.
    pub ready: bool,
    /// One sentence: what is waited for, or that all is well.
    pub message: String,
    /// In one word, where the operator tells this fault from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// The database answers, but accepts no writes.
const READ_ONLY: &str = "read_only";

/// The body of `/readyz`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether requests should be sent here.
    pub ready: bool,
    /// By name: database, schema, clock, redis, signing_keys; first_superuser, mail and login where they are set.
    pub dependencies: BTreeMap<&'static str, Dependency>,
}

/// Looks at everything that this replica depends on. Share it with an [`Arc`].
pub struct Readiness {
    store: Store,
    revocation: Arc<Revocation>,
    ring: Arc<KeyRing>,
    hashing: Arc<HashPool>,
    outbox: Option<Arc<OutboxWorker>>,
    stopping: AtomicBool,
    /// -1 before the database was asked.
    schema_version: AtomicI64,
    /// Told whenever the schema is found missing or too old.
    schema_missing: Notify,
    /// What stands in the way of the first superuser, if one was asked for.
    first_superuser: Mutex<Option<String>>,
    /// What came of the last login that was tried out; `None` before the first.
    login: Mutex<Option<Result<(), String>>>,
}

impl Readiness {
    /// Nothing is looked at yet.
    pub fn new(
        store: Store,
        revocation: Arc<Revocation>,
        ring: Arc<KeyRing>,
        hashing: Arc<HashPool>,
        outbox: Option<Arc<OutboxWorker>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            revocation,
            ring,
            hashing,
            outbox,
            stopping: AtomicBool::new(false),
            schema_version: AtomicI64::new(-1),
            schema_missing: Notify::new(),
            first_superuser: Mutex::new(None),
            login: Mutex::new(None),
        })
    }

    /// From now on `/readyz` says no: the first step of shutting down.
    pub fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// What stands in the way of the first superuser; `None` when nothing does (any more).
    pub fn set_first_superuser_fault(&self, fault: Option<String>) {
        if let Ok(mut slot) = self.first_superuser.lock() {
            *slot = fault;
        }
    }

    /// What came of a login that was tried out.
    pub fn set_login(&self, outcome: Result<(), String>) {
        if let Ok(mut slot) = self.login.lock() {
            *slot = Some(outcome);
        }
    }

    /// Asks every dependency.
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
        // Mail waits in the outbox: it is shown and holds nothing up. A login that failed is shown too: taking this
        // replica out of service helps nobody when the others fail alike, and what is not known here may be wrong.
        let ready = dependencies.values().all(|dependency| dependency.ready);
        if let Some(outcome) = self.login.lock().ok().and_then(|outcome| outcome.clone()) {
            dependencies.insert("login", outcome.map_or_else(waiting, |()| good("works")));
        }
        if let Some(outbox) = &self.outbox {
            dependencies
                .insert("mail", outbox.fault().map_or_else(|| good("the SMTP server takes mail"), waiting));
        }
        if self.stopping.load(Ordering::Relaxed) {
            dependencies.insert("shutdown", waiting("this replica is shutting down".to_owned()));
            return Report { ready: false, dependencies };
        }
        Report { ready, dependencies }
    }

    /// Refreshes the gauges that are measured when asked.
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
        if let Ok(mail) = self.store.count_mail().await {
            #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
            let (pending, dead) = (mail.pending as f64, mail.dead as f64);
            metrics.set_state(StateGauge::Outbox, "pending", pending);
            metrics.set_state(StateGauge::Outbox, "dead", dead);
        }
        for (name, dependency) in self.check().await.dependencies {
            metrics.set_state(StateGauge::Dependency, name, if dependency.ready { 1.0 } else { 0.0 });
        }
    }

    /// Who answers revocation checks, and why.
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
                | ConnectionState::NeverUp(reason)
                | ConnectionState::Refused(reason),
            ) => format!("PostgreSQL answers: {reason}"),
        };
        (mode, message)
    }

    /// The schema's version as last seen.
    pub fn schema_version(&self) -> Option<i64> {
        Some(self.schema_version.load(Ordering::Relaxed)).filter(|version| *version >= 0)
    }

    /// Waits until a look finds the schema missing or too old; with one that was running before, that is a
    /// database that was lost or restored from an older backup.
    pub async fn schema_found_missing(&self) {
        self.schema_missing.notified().await;
    }

    /// The keys in use.
    pub fn loaded_keys(&self) -> Vec<LoadedKey> {
        self.ring.loaded()
    }

    /// What the JWKS shows, and for how many seconds a verifier may keep it.
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

    /// By this replica's clock it judges when tokens expire.
    fn check_clock(&self) -> Dependency {
        match self.revocation.clock() {
            None => waiting("the database has to answer first".to_owned()),
            Some(offset) if offset.exceeds_margin() => waiting(describe_clock(offset)),
            Some(_) => good(CLOCK_AGREES),
        }
    }

    /// A Redis that was there and is gone holds nothing up: PostgreSQL answers in its place.
    fn check_redis(&self) -> Dependency {
        match self.revocation.redis_state() {
            ConnectionState::Up => good("connected"),
            ConnectionState::Lost(reason) => good(&format!("{reason}; PostgreSQL answers in its place")),
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

/// What is said of a clock that is right.
pub const CLOCK_AGREES: &str = "agrees with the database's";

/// What is said of a clock that is too far from the database's.
pub fn describe_clock(offset: ClockOffset) -> String {
    let margin = CLOCK_MARGIN.num_minutes();
    let difference = offset.describe("this replica's clock", "the database's");
    format!("{difference}; at most {margin} minutes are allowed: synchronize both clocks")
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
