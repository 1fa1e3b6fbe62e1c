//! What every reconcile is given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt};
use latchkey_crds::{AuthService, AuthServiceStatus};
use serde_json::Value;

use crate::cache::Cache;
use crate::kinds::Kind;
use crate::metrics::Metrics;
use crate::names::OPERATOR;

/// The images that an AuthService gets where it names none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The auth server.
    pub server: String,
    /// The embedded PostgreSQL.
    pub postgres: String,
    /// The embedded Valkey.
    pub valkey: String,
}

/// Namespace and name of an object, with its kind.
pub type ObjectKey = (Kind, String, String);

/// What every reconcile is given.
pub struct Context {
    /// The API server; only dereference, apply and status use it.
    pub client: Client,
    /// What the watches last saw.
    pub cache: Cache,
    /// The AuthServices, as the watch last saw them.
    pub auth_services: Store<AuthService>,
    /// The images that an AuthService gets where it names none.
    pub images: Images,
    /// The operator's metrics.
    pub metrics: Metrics,
    /// Where events go.
    pub recorder: Recorder,
    /// What the API server made of what was applied (it writes `0.5` as `500m`, say), with the hash of what
    /// was applied. Losing it costs one needless apply.
    pub normalised: Mutex<HashMap<ObjectKey, (String, Value)>>,
    /// How often a reconcile failed in a row, by the AuthService's uid; the next try waits longer each time.
    pub failures: Mutex<HashMap<String, u32>>,
    /// The status that was written last, by the AuthService's uid, with the resource version it replaced: until
    /// the watch has caught up, that is the truer one.
    pub statuses: Mutex<HashMap<String, (String, AuthServiceStatus)>>,
}

impl Context {
    /// A context with nothing remembered.
    pub fn new(
        client: Client,
        cache: Cache,
        auth_services: Store<AuthService>,
        images: Images,
        metrics: Metrics,
        instance: Option<String>,
    ) -> Arc<Self> {
        let reporter = Reporter { controller: OPERATOR.to_owned(), instance };
        Arc::new(Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            cache,
            auth_services,
            images,
            metrics,
            normalised: Mutex::default(),
            failures: Mutex::default(),
            statuses: Mutex::default(),
        })
    }
}

impl Context {
    /// Counts a failed reconcile; how many there were in a row.
    pub fn count_failure(&self, auth_service: &AuthService) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(auth_service.uid().unwrap_or_default()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// A reconcile succeeded.
    pub fn forget_failures(&self, auth_service: &AuthService) {
        let uid = auth_service.uid().unwrap_or_default();
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
    }

    /// Forgets everything about an AuthService that is going.
    pub fn forget(&self, auth_service: &AuthService) {
        let uid = auth_service.uid().unwrap_or_default();
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
        let namespace = auth_service.namespace().unwrap_or_default();
        let name = auth_service.name_any();
        let belongs = |key: &ObjectKey| {
            key.1 == namespace
                && key.2.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        self.normalised.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| !belongs(key));
    }
}
