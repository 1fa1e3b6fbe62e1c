//! What the watches last saw: one store a kind, fed by one watch each, so that a reconcile asks no API server.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::reflector::{ObjectRef, Store};
use latchkey_crds::AuthService;
use tokio::sync::watch;

use crate::cluster::cached_object::CachedObject;
use crate::cluster::change_filter::WrittenStatuses;
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::Identity;
use crate::cluster::object_store::{ObjectStore, WatchEnded};
use crate::cluster::references::{NamedSecrets, ReferenceRules};

/// How long the start waits to be told which optional kinds there are.
const OPTIONAL_WITHIN: Duration = Duration::from_secs(5);

/// Whether the cluster knows an optional kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It does, and its objects are watched.
    Present,
    /// It does not.
    Absent,
    /// The operator may not look, or has not looked yet.
    Unknown,
}

/// Which of the optional kinds the cluster knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Optional(BTreeMap<Kind, Presence>);

impl Optional {
    /// Whether the cluster knows the kind.
    pub fn presence(&self, kind: Kind) -> Presence {
        self.0.get(&kind).copied().unwrap_or(Presence::Unknown)
    }

    /// The same with another presence of one kind.
    #[cfg(test)]
    #[must_use]
    pub fn with(mut self, kind: Kind, presence: Presence) -> Self {
        self.0.insert(kind, presence);
        self
    }
}

/// The stores.
#[derive(Clone)]
pub struct Cache {
    stores: Arc<RwLock<BTreeMap<Kind, ObjectStore>>>,
    /// The Secrets that AuthServices name; our own are among the stores.
    pub named_secrets: NamedSecrets,
    /// The status of each AuthService that the operator last wrote.
    pub written_statuses: WrittenStatuses,
    optional: Arc<watch::Sender<Optional>>,
    config_maps: Arc<OnceLock<Store<Identity<ConfigMap>>>>,
    references: ReferenceRules,
}

impl Cache {
    /// An empty cache. `references` gives the objects that an AuthService refers to.
    pub fn new(references: ReferenceRules) -> Self {
        Self {
            stores: Arc::default(),
            named_secrets: NamedSecrets::new(references.secrets),
            written_statuses: WrittenStatuses::default(),
            optional: Arc::default(),
            config_maps: Arc::default(),
            references,
        }
    }

    /// Whether an AuthService refers to the ConfigMap of this name in its namespace.
    pub fn refers_to_config_map(&self, auth_service: &AuthService, name: &str) -> bool {
        (self.references.config_map)(auth_service, name)
    }

    /// Takes in the store of a kind.
    pub fn insert(&self, kind: Kind, store: ObjectStore) {
        self.stores.write().unwrap_or_else(PoisonError::into_inner).insert(kind, store);
    }

    /// Forgets the store of a kind that the cluster no longer knows.
    pub fn remove(&self, kind: Kind) {
        self.stores.write().unwrap_or_else(PoisonError::into_inner).remove(&kind);
    }

    /// Takes in the store of all ConfigMaps' metadata.
    pub fn set_config_maps(&self, store: Store<Identity<ConfigMap>>) {
        if self.config_maps.set(store).is_err() {
            tracing::debug!("the store of the ConfigMaps is there already");
        }
    }

    /// The metadata of a ConfigMap, whoever made it.
    pub fn config_map(&self, namespace: &str, name: &str) -> Option<Arc<Identity<ConfigMap>>> {
        self.config_maps.get()?.get(&ObjectRef::new(name).within(namespace))
    }

    /// Says whether the cluster knows an optional kind.
    pub fn set_presence(&self, kind: Kind, presence: Presence) {
        self.optional.send_modify(|optional| {
            optional.0.insert(kind, presence);
        });
    }

    /// Which of the optional kinds the cluster knows.
    pub fn optional(&self) -> Optional {
        self.optional.borrow().clone()
    }

    fn store(&self, kind: Kind) -> Option<ObjectStore> {
        self.stores.read().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned()
    }

    /// Waits until every watch of a built-in kind has listed once, and a moment for the optional ones.
    ///
    /// # Errors
    /// When a watch ended before.
    pub async fn wait_until_ready(&self) -> Result<(), WatchEnded> {
        for kind in Kind::BUILT_IN {
            if let Some(store) = self.store(kind) {
                store.wait_until_ready().await?;
            }
        }
        if let Some(store) = self.config_maps.get() {
            store.wait_until_ready().await.map_err(|_| WatchEnded)?;
        }
        let mut optional = self.optional.subscribe();
        let all_told = optional.wait_for(|optional| optional.0.len() == Kind::OPTIONAL.len());
        // A kind that cannot be told about must not hold up everything else.
        if tokio::time::timeout(OPTIONAL_WITHIN, all_told).await.is_err() {
            tracing::warn!("not all optional kinds could be looked for in time");
        }
        Ok(())
    }

    /// The object of that name, as last seen.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<CachedObject>> {
        self.store(kind)?.get(namespace, name)
    }

    /// The Jobs of a namespace that have this controller, by its uid, or its pods of this [`crate::cluster::object_store::purpose`].
    pub fn group(&self, kind: Kind, namespace: &str, group: &str) -> Vec<Arc<CachedObject>> {
        self.store(kind).map(|store| store.group(namespace, group)).unwrap_or_default()
    }

    /// The objects in all namespaces that say that they work with this database, each with its namespace.
    pub fn users_of_database(&self, kind: Kind, database: &str) -> Vec<(Box<str>, Arc<CachedObject>)> {
        self.store(kind).map(|store| store.users_of_database(database)).unwrap_or_default()
    }
}
