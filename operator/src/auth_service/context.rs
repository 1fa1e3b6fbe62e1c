//! What every reconcile is given.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use kube::core::DynamicObject;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt};
use latchkey_crds::{AuthService, AuthServiceStatus};

use crate::auth_service::repair_limit::Repairs;
use crate::cluster::cache::Cache;
use crate::cluster::kinds::Kind;
use crate::cluster::observed::Observed;
use crate::controller::concurrency::ReconcileSlots;
use crate::fingerprint::Fingerprint;
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

/// What is known of an object that was rendered. There are a dozen for each AuthService.
#[derive(Debug)]
pub struct AppliedState {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Box<str>,
    /// The hash of what was rendered. The rest speaks of exactly that.
    pub rendered: Box<str>,
    /// The fingerprint of what the API server made of it (it writes `0.5` as `500m`, say), if it was applied by
    /// this process.
    pub made: Option<Fingerprint>,
    /// The version of the object in which there was nothing left to do.
    pub right: Option<Box<str>>,
}

/// Where this operator runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The namespace.
    pub namespace: String,
    /// The pod, where it is one.
    pub pod_name: Option<String>,
}

/// What is remembered of one AuthService. Losing it costs a needless write at most.
#[derive(Debug, Default)]
pub struct Memory {
    /// What is known of what was applied; one for each kind and name.
    pub applied: Vec<AppliedState>,
    /// What was repaired lately.
    pub repairs: Repairs,
    /// How often its reconcile failed in a row; the next try waits longer each time.
    pub failures: u32,
    /// The status that was written last, with the resource version that it replaced: until the watch has
    /// caught up, that is the truer one.
    pub status: Option<(String, AuthServiceStatus)>,
    /// The key set that was written last.
    pub keys: WrittenKeys,
    /// The problem that was reported last, if the AuthService is held for one.
    pub reported: Option<Box<str>>,
    /// The ConfigMaps with certificate authorities, by name.
    pub config_maps: HashMap<String, ReadConfigMap>,
}

impl Memory {
    /// What is known of an object, if that speaks of what was rendered with this hash.
    pub fn known(&self, kind: Kind, name: &str, rendered: &str) -> Option<&AppliedState> {
        let mut known = self.applied.iter().filter(|known| known.kind == kind && *known.name == *name);
        known.next().filter(|known| *known.rendered == *rendered)
    }

    /// Puts this in place of what was known of the object.
    pub fn learn(&mut self, learned: AppliedState) {
        let known =
            self.applied.iter_mut().find(|known| known.kind == learned.kind && known.name == learned.name);
        if let Some(known) = known {
            *known = learned;
        } else {
            self.applied.reserve_exact(1);
            self.applied.push(learned);
        }
    }
}

/// What was read of a ConfigMap.
#[derive(Debug, Clone, Default)]
pub struct ReadConfigMap {
    /// The version that was read.
    pub version: String,
    /// The keys that were asked for.
    pub keys: Vec<String>,
    /// What stands under those of them that it has.
    pub data: HashMap<String, Vec<u8>>,
}

/// The Secret of the key set as it was written last, with the resource version that it replaced: until the watch has
/// caught up, that is the truer one.
#[derive(Default)]
pub struct WrittenKeys(pub Option<(String, Arc<DynamicObject>)>);

impl WrittenKeys {
    /// The Secret that replaced this version, if that is what was written last.
    pub fn newer_than(&self, version: Option<&str>) -> Option<Arc<DynamicObject>> {
        let (replaced, secret) = self.0.as_ref()?;
        (version == Some(replaced.as_str())).then(|| secret.clone())
    }
}

// It holds private keys.
impl std::fmt::Debug for WrittenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WrittenKeys")
    }
}

/// What every reconcile is given.
pub struct Context {
    /// The API server; only dereference, apply and status use it.
    pub client: Client,
    /// What the watches last saw.
    pub cache: Cache,
    /// The AuthServices, as the watch last saw them.
    pub auth_services: Store<Observed>,
    /// The images that an AuthService gets where it names none.
    pub images: Images,
    /// The namespace that the operator runs in.
    pub operator_namespace: String,
    /// The operator's metrics.
    pub metrics: Metrics,
    reporter: Reporter,
    recorder: Recorder,
    /// Who may work now.
    pub slots: ReconcileSlots,
    memory: Mutex<HashMap<String, Memory>>,
}

impl Context {
    /// A context with nothing remembered.
    pub fn new(
        client: Client,
        cache: Cache,
        auth_services: Store<Observed>,
        images: Images,
        metrics: Metrics,
        place: Place,
    ) -> Arc<Self> {
        let reporter = Reporter { controller: OPERATOR.to_owned(), instance: place.pod_name };
        Arc::new(Self {
            recorder: Recorder::new(client.clone(), reporter.clone()),
            reporter,
            client,
            cache,
            auth_services,
            images,
            operator_namespace: place.namespace,
            metrics,
            slots: ReconcileSlots::default(),
            memory: Mutex::default(),
        })
    }
}

impl Context {
    /// Where events go. Warnings are remembered for some minutes, so that what comes again and again is counted
    /// instead of repeated; remembering all that goes well would take more memory than it is worth.
    pub fn recorder(&self, warning: bool) -> Recorder {
        if warning {
            self.recorder.clone()
        } else {
            Recorder::new(self.client.clone(), self.reporter.clone())
        }
    }

    /// Works with what is remembered of an AuthService.
    pub fn with_memory<T>(&self, uid: &str, work: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        work(memory.entry(uid.to_owned()).or_default())
    }

    /// The status that was written last: the one in the cache, unless the watch has not seen this process's own write.
    pub fn last_status(&self, auth_service: &AuthService) -> AuthServiceStatus {
        let seen = auth_service.resource_version();
        let newer = self.with_memory(&auth_service.uid().unwrap_or_default(), |memory| {
            // Not needed any more once the watch has shown the write.
            memory.status.take_if(|(replaced, _)| seen.as_ref() != Some(replaced));
            memory.status.clone()
        });
        newer.map_or_else(|| auth_service.status.clone().unwrap_or_default(), |(_, status)| status)
    }

    /// Forgets the AuthServices that are gone, if there are any.
    pub fn forget_gone(&self) {
        let remembered = self.memory.lock().unwrap_or_else(PoisonError::into_inner).len();
        if remembered <= self.auth_services.len() {
            return;
        }
        let there: HashSet<String> =
            self.auth_services.state().iter().filter_map(|auth_service| auth_service.uid()).collect();
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| there.contains(uid));
    }
}
