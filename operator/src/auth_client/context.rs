//! The context of the reconciles of AuthClients, and the state that is kept in memory between them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt};
use latchkey_config::SecretText;

use crate::auth_service::failures::Failures;
use crate::auth_service::repair_limit::Repairs;
use crate::cluster::auth_clients::AuthClients;
use crate::cluster::cache::Cache;
use crate::cluster::observed::Observed;
use crate::cluster::watches::Triggers;
use crate::controller::concurrency::ReconcileSlots;
use crate::metrics::Metrics;
use crate::names::OPERATOR;
use crate::registrations::Registrations;
use crate::responsibility::Scope;

/// The state kept for one AuthClient. If it is lost, a rotation in progress begins again with another secret.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub failures: Failures,
    pub repairs: Repairs,
    /// The last generation of the spec that the API server confirmed.
    pub verified_generation: Option<i64>,
    /// A secret that the replicas are to accept before applications can read it.
    pub next_secret: Option<SecretText>,
}

/// The labels of a namespace, and when they were read; `None` if it does not exist.
pub(crate) type NamespaceLabels = (Instant, Option<BTreeMap<String, String>>);

/// What [`Context`] is made of.
pub(crate) struct Parts {
    pub client: Client,
    pub cache: Cache,
    pub auth_services: Store<Observed>,
    pub auth_clients: AuthClients,
    pub registrations: Registrations,
    pub scope: Scope,
    /// Triggers reconciles of AuthServices.
    pub triggers: Triggers,
    pub metrics: Metrics,
    pub pod_name: Option<String>,
}

pub(crate) struct Context {
    /// The client; only dereference, apply and status use it.
    pub client: Client,
    pub cache: Cache,
    pub auth_services: Store<Observed>,
    pub auth_clients: AuthClients,
    pub registrations: Registrations,
    /// The AuthServices that this operator reconciles.
    pub scope: Scope,
    pub triggers: Triggers,
    pub metrics: Metrics,
    pub recorder: Recorder,
    /// Limits the concurrent reconciles; separate from those of AuthServices.
    pub slots: ReconcileSlots,
    memory: Mutex<HashMap<String, Memory>>,
    namespaces: Mutex<HashMap<String, NamespaceLabels>>,
}

impl Context {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let reporter = Reporter { controller: OPERATOR.to_owned(), instance: parts.pod_name };
        Arc::new(Self {
            recorder: Recorder::new(parts.client.clone(), reporter),
            client: parts.client,
            cache: parts.cache,
            auth_services: parts.auth_services,
            auth_clients: parts.auth_clients,
            registrations: parts.registrations,
            scope: parts.scope,
            triggers: parts.triggers,
            metrics: parts.metrics,
            slots: ReconcileSlots::default(),
            memory: Mutex::default(),
            namespaces: Mutex::default(),
        })
    }

    /// Accesses the state kept for an AuthClient.
    pub(crate) fn with_memory<T>(&self, uid: &str, work: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        work(memory.entry(uid.to_owned()).or_default())
    }

    /// Accesses the labels of namespaces that were read.
    pub(crate) fn with_namespaces<T>(
        &self,
        work: impl FnOnce(&mut HashMap<String, NamespaceLabels>) -> T,
    ) -> T {
        work(&mut self.namespaces.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Removes the state of AuthClients that no longer exist.
    pub(crate) fn forget_gone(&self) {
        let remembered = self.memory.lock().unwrap_or_else(PoisonError::into_inner).len();
        if remembered <= self.auth_clients.len() {
            return;
        }
        let there: HashSet<String> =
            self.auth_clients.select(|_| true).iter().filter_map(|client| client.uid()).collect();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.retain(|uid, _| {
            let stays = there.contains(uid);
            if !stays {
                self.registrations.forget_client(uid);
            }
            stays
        });
    }
}
