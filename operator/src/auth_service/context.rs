//! The context of every reconcile, and the state that is kept in memory between reconciles.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use kube::core::DynamicObject;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt};
use latchkey_config::SecretText;
use latchkey_crds::{AuthService, AuthServiceStatus};

use crate::auth_service::begun_migrations::BegunMigrations;
use crate::auth_service::failures::Failures;
use crate::auth_service::pace::Pace;
use crate::auth_service::repair_limit::Repairs;
use crate::cluster::auth_clients::AuthClients;
use crate::cluster::cache::Cache;
use crate::cluster::kinds::Kind;
use crate::cluster::observed::Observed;
use crate::cluster::watches::ClientTriggers;
use crate::controller::concurrency::ReconcileSlots;
use crate::fingerprint::Fingerprint;
use crate::metrics::Metrics;
use crate::names::OPERATOR;
use crate::registrations::Registrations;
use crate::responsibility::{Foreign, Scope};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Images {
    pub server: String,
    pub postgres: String,
    pub valkey: String,
    /// The registry of all images, if it is not their own; empty otherwise.
    pub registry: String,
    /// The pull secrets of all pods, by name, in the namespace of each AuthService.
    pub pull_names: Vec<String>,
}

/// What the installation of the operator decides for all AuthServices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    pub images: Images,
    /// Whether pods name their user and groups. False on clusters whose admission assigns them, such as OpenShift.
    pub assigns_users: bool,
}

/// The applied state of one object. There are about a dozen for each AuthService.
#[derive(Debug)]
pub(crate) struct AppliedState {
    pub kind: Kind,
    pub name: Box<str>,
    /// The hash of the rendered object to which the other fields refer.
    pub rendered: Box<str>,
    /// The fingerprint of the API server's form of it (`0.5` becomes `500m`, for example), if this process has
    /// applied it.
    pub applied_fingerprint: Option<Fingerprint>,
    /// The resource version that was found to be correct.
    pub correct_version: Option<Box<str>>,
}

/// What the reconciles of AuthClients and AuthServices share.
#[derive(Clone)]
pub(crate) struct ClientParts {
    /// The cache of the AuthClients.
    pub auth_clients: AuthClients,
    pub registrations: Registrations,
    /// Triggers reconciles of AuthClients.
    pub triggers: ClientTriggers,
}

/// Where this operator runs, and for which AuthServices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub namespace: String,
    /// The name of the pod, if the operator runs in one.
    pub pod_name: Option<String>,
    /// The AuthServices that it reconciles.
    pub scope: Scope,
}

/// The state kept for one AuthService. If it is lost, the next reconcile sends a few unnecessary writes.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The applied state, one for each object.
    pub applied: Vec<AppliedState>,
    pub repairs: Repairs,
    /// The failed reconciles in a row; each retry waits longer.
    pub failures: Failures,
    /// The generation of the spec that the API server confirmed, as the present one at that time.
    pub verified_generation: Option<i64>,
    /// The status written last. It is newer than the cache until the watch shows it.
    pub status: Option<WrittenStatus>,
    /// The key set that was written last.
    pub keys: WrittenSecret,
    /// The client registry that was written last.
    pub registry: WrittenSecret,
    /// Since when the present client registry exists, with its serial.
    pub registry_since: Option<(u64, Instant)>,
    /// Whether the retained volume is known to be protected against other tools.
    pub volume_protected: bool,
    /// Whether the objects of this process's release were applied to its workloads, or did not differ.
    pub rollout_started: bool,
    /// The pod template of the Deployment that its controller observed last.
    pub observed_template: Option<Fingerprint>,
    /// Since when each StatefulSet has had no pod, by uid.
    pub without_pod: BTreeMap<String, Timestamp>,
    /// The problem reported last, if the AuthService cannot be read.
    pub reported: Option<Box<str>>,
    /// The object that the cache lacks and for which the API server was asked.
    pub looked_for: Option<Box<str>>,
    /// When another operator was asked whether it still reconciles the AuthService.
    pub asked: Option<Instant>,
    /// Why the AuthService is left to another operator, as logged.
    pub left_to: Option<Foreign>,
    /// Whether the installed definition does not store which operator reconciles an AuthService.
    pub claims_unsupported: bool,
}

impl Memory {
    /// The applied state of an object, if it refers to this rendered hash.
    pub(crate) fn applied_state(&self, kind: Kind, name: &str, rendered: &str) -> Option<&AppliedState> {
        let mut known = self.applied.iter().filter(|known| known.kind == kind && *known.name == *name);
        known.next().filter(|known| *known.rendered == *rendered)
    }

    /// Replaces the applied state of the object.
    pub(crate) fn remember(&mut self, state: AppliedState) {
        let known =
            self.applied.iter_mut().find(|known| known.kind == state.kind && known.name == state.name);
        if let Some(known) = known {
            *known = state;
        } else {
            self.applied.reserve_exact(1);
            self.applied.push(state);
        }
    }
}

/// A status that this process wrote.
#[derive(Debug, Clone)]
pub(crate) struct WrittenStatus {
    /// The resource version that the cache had when it was written.
    pub replaced: String,
    /// The resource version that the write resulted in.
    pub version: Option<String>,
    pub status: AuthServiceStatus,
}

/// A Secret written last, with the resource version that it replaced. It is newer than the cache
/// until the watch shows it.
#[derive(Default)]
pub(crate) struct WrittenSecret(pub Option<(String, Arc<DynamicObject>)>);

impl WrittenSecret {
    /// The Secret that replaced this version, if this process wrote it last.
    pub(crate) fn newer_than(&self, version: Option<&str>) -> Option<Arc<DynamicObject>> {
        let (replaced, secret) = self.0.as_ref()?;
        (version == Some(replaced.as_str())).then(|| secret.clone())
    }
}

// It may hold private keys.
impl std::fmt::Debug for WrittenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WrittenSecret")
    }
}

pub(crate) struct Context {
    /// The client; only dereference, apply and status use it.
    pub client: Client,
    /// The cache of the watched objects.
    pub cache: Cache,
    /// The cache of the AuthServices.
    pub auth_services: Store<Observed>,
    /// The cache of the AuthClients.
    pub auth_clients: AuthClients,
    pub registrations: Registrations,
    /// Triggers reconciles of AuthClients.
    pub client_triggers: ClientTriggers,
    pub installation: Installation,
    /// The AuthServices that this operator reconciles.
    pub scope: Scope,
    pub operator_namespace: String,
    /// Limits the rollouts that a change of the operator causes.
    pub pace: Pace,
    pub metrics: Metrics,
    reporter: Reporter,
    recorder: Recorder,
    /// Limits the concurrent reconciles.
    pub slots: ReconcileSlots,
    memory: Mutex<HashMap<String, Memory>>,
    begun_migrations: Mutex<BegunMigrations>,
    substitute_salt: OnceLock<SecretText>,
    /// When this process started.
    pub started: Timestamp,
}

impl Context {
    /// A context without any state.
    pub(crate) fn new(
        client: Client,
        cache: Cache,
        installation: Installation,
        metrics: Metrics,
        place: Place,
        (turns, clients): (Pace, ClientParts),
    ) -> Arc<Self> {
        let reporter = Reporter { controller: OPERATOR.to_owned(), instance: place.pod_name };
        Arc::new(Self {
            recorder: Recorder::new(client.clone(), reporter.clone()),
            reporter,
            client,
            cache,
            auth_services: turns.auth_services(),
            auth_clients: clients.auth_clients,
            registrations: clients.registrations,
            client_triggers: clients.triggers,
            installation,
            scope: place.scope,
            operator_namespace: place.namespace,
            pace: turns,
            metrics,
            slots: ReconcileSlots::default(),
            memory: Mutex::default(),
            begun_migrations: Mutex::default(),
            substitute_salt: OnceLock::new(),
            started: Timestamp::now(),
        })
    }
}

impl Context {
    /// The recorder for events. Warnings are kept for some minutes, so that repeated ones are counted instead of
    /// duplicated; normal events are not, to save memory.
    pub(crate) fn recorder(&self, warning: bool) -> Recorder {
        if warning {
            self.recorder.clone()
        } else {
            Recorder::new(self.client.clone(), self.reporter.clone())
        }
    }

    /// The first migrations that this process began.
    pub(crate) fn begun_migrations(&self) -> MutexGuard<'_, BegunMigrations> {
        self.begun_migrations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The salt of AuthServices whose own is lost: secret, and the same as long as this process runs.
    pub(crate) fn substitute_salt(&self, generate: impl FnOnce() -> SecretText) -> SecretText {
        self.substitute_salt.get_or_init(generate).clone()
    }

    /// Accesses the state kept for an AuthService.
    pub(crate) fn with_memory<T>(&self, uid: &str, work: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        work(memory.entry(uid.to_owned()).or_default())
    }

    /// The status written last: the cached one, unless the watch has not shown this process's own write yet.
    pub(crate) fn last_status(&self, auth_service: &AuthService) -> AuthServiceStatus {
        self.unseen_status(auth_service)
            .map_or_else(|| auth_service.status.clone().unwrap_or_default(), |written| written.status)
    }

    /// The resource version of the AuthService, after this process's own last write of the status.
    pub(crate) fn last_version(&self, auth_service: &AuthService) -> Option<String> {
        self.unseen_status(auth_service)
            .map_or_else(|| auth_service.resource_version(), |written| written.version)
    }

    /// The status that this process wrote and the watch has not shown yet.
    fn unseen_status(&self, auth_service: &AuthService) -> Option<WrittenStatus> {
        let seen = auth_service.resource_version();
        self.with_memory(&auth_service.uid().unwrap_or_default(), |memory| {
            // Not needed any more when the watch has shown the write.
            memory.status.take_if(|written| seen.as_ref() != Some(&written.replaced));
            memory.status.clone()
        })
    }

    /// Removes the state of AuthServices that no longer exist.
    pub(crate) fn forget_gone(&self) {
        let remembered = self.memory.lock().unwrap_or_else(PoisonError::into_inner).len();
        if remembered <= self.auth_services.len() {
            return;
        }
        let there: HashSet<String> =
            self.auth_services.state().iter().filter_map(|auth_service| auth_service.uid()).collect();
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| there.contains(uid));
        self.registrations.retain_services(&there);
        self.begun_migrations().retain(|uid| there.contains(uid));
    }
}
