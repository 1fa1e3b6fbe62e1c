//! The cache: the last observed objects of each watched kind, so that a reconcile needs no requests to the API
//! server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kube::ResourceExt;
use latchkey_crds::{AuthClient, AuthService};
use tokio::sync::watch;

use crate::cluster::cached_object::CachedObject;
use crate::cluster::change_filter::WrittenStatuses;
use crate::cluster::kinds::Kind;
use crate::cluster::object_store::{ObjectStore, WatchEnded};
use crate::cluster::observed::Observed;
use crate::cluster::owners::OwnNames;
use crate::cluster::references::NamedObjects;

/// How long the start waits for the discovery of the optional kinds.
const OPTIONAL_WITHIN: Duration = Duration::from_secs(5);

/// Whether an optional kind is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is installed, and its objects are watched.
    Present,
    /// It is not installed.
    Absent,
    /// Not known yet, or the operator has no permission to find out.
    Unknown,
}

/// The presence of the optional kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Optional(BTreeMap<Kind, Presence>);

impl Optional {
    /// The presence of a kind.
    pub(crate) fn presence(&self, kind: Kind) -> Presence {
        self.0.get(&kind).copied().unwrap_or(Presence::Unknown)
    }

    /// The same with another presence of one kind.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn with(mut self, kind: Kind, presence: Presence) -> Self {
        self.0.insert(kind, presence);
        self
    }
}

/// The names of the objects of one kind whose changes concern an AuthService, in its namespace.
pub(crate) type NamesOf = fn(&AuthService) -> BTreeSet<String>;

/// What the cache has to know about AuthServices.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// The names of the Secrets whose changes concern an AuthService.
    pub(crate) secrets: NamesOf,
    /// The names of the ConfigMaps whose changes concern an AuthService.
    pub(crate) config_maps: NamesOf,
    /// The names of the objects of a kind that the operator creates for an AuthService.
    pub(crate) own_names: OwnNames,
}

/// The stores of all kinds.
#[derive(Clone)]
pub(crate) struct Cache {
    stores: Arc<RwLock<BTreeMap<Kind, ObjectStore>>>,
    /// The Secrets that AuthServices reference; the operator's own are in the stores.
    pub(crate) named_secrets: NamedObjects,
    /// The ConfigMaps that AuthServices reference.
    pub(crate) named_config_maps: NamedObjects,
    /// The Secrets of AuthClients.
    pub(crate) client_secrets: NamedObjects,
    /// The statuses that the operator wrote last.
    pub(crate) written_statuses: WrittenStatuses,
    optional: Arc<watch::Sender<Optional>>,
    rules: Rules,
}

impl Cache {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            stores: Arc::default(),
            named_secrets: NamedObjects::default(),
            named_config_maps: NamedObjects::default(),
            client_secrets: NamedObjects::default(),
            written_statuses: WrittenStatuses::default(),
            optional: Arc::default(),
            rules,
        }
    }

    /// Updates the references of an AuthService.
    pub(crate) fn follow(&self, auth_service: &AuthService) {
        let (namespace, name) = (auth_service.namespace().unwrap_or_default(), auth_service.name_any());
        self.named_secrets.follow(&namespace, &name, (self.rules.secrets)(auth_service));
        self.named_config_maps.follow(&namespace, &name, (self.rules.config_maps)(auth_service));
    }

    /// Removes the references and the objects of a deleted AuthService.
    pub(crate) fn forget(&self, auth_service: &AuthService) {
        let (namespace, name) = (auth_service.namespace().unwrap_or_default(), auth_service.name_any());
        self.named().for_each(|named| named.forget(&namespace, &name));
        self.release(&namespace, &name);
    }

    /// The same for all AuthServices that are not in this list.
    pub(crate) fn retain(&self, existing: &[Arc<Observed>]) {
        let existing = existing
            .iter()
            .map(|object| (object.namespace().unwrap_or_default(), object.name_any()))
            .collect();
        for named in self.named() {
            for (namespace, name) in named.retain(&existing) {
                self.release(&namespace, &name);
            }
        }
    }

    /// Updates the reference of an AuthClient.
    pub(crate) fn follow_client(&self, client: &AuthClient) {
        let (namespace, name) = (client.namespace().unwrap_or_default(), client.name_any());
        self.client_secrets.follow(&namespace, &name, client.secret_name().into_iter().collect());
    }

    fn release(&self, namespace: &str, name: &str) {
        for store in self.all_stores() {
            store.release(namespace, name);
        }
    }

    /// The objects of an AuthService that are not stored because it did not exist when they were observed, with the
    /// store of each: see [`ObjectStore::unstored`].
    pub(crate) fn unstored(&self, namespace: &str, name: &str) -> Vec<(ObjectStore, String)> {
        let stores = self.all_stores().into_iter();
        stores
            .flat_map(|store| {
                let groups = store.unstored(namespace, name);
                groups.into_iter().map(move |group| (store.clone(), group))
            })
            .collect()
    }

    fn all_stores(&self) -> Vec<ObjectStore> {
        self.stores.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The names of the objects of an AuthService.
    pub(crate) fn own_names(&self) -> OwnNames {
        self.rules.own_names
    }

    fn named(&self) -> impl Iterator<Item = &NamedObjects> {
        [&self.named_secrets, &self.named_config_maps].into_iter()
    }

    /// Adds the store of a kind.
    pub(crate) fn insert(&self, kind: Kind, store: ObjectStore) {
        self.stores.write().unwrap_or_else(PoisonError::into_inner).insert(kind, store);
    }

    /// Removes the store of a kind that is not installed any more.
    pub(crate) fn remove(&self, kind: Kind) {
        self.stores.write().unwrap_or_else(PoisonError::into_inner).remove(&kind);
    }

    /// Sets the presence of an optional kind.
    pub(crate) fn set_presence(&self, kind: Kind, presence: Presence) {
        self.optional.send_modify(|optional| {
            optional.0.insert(kind, presence);
        });
    }

    /// The presence of all optional kinds.
    pub(crate) fn optional(&self) -> Optional {
        self.optional.borrow().clone()
    }

    fn store(&self, kind: Kind) -> Option<ObjectStore> {
        self.stores.read().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned()
    }

    /// Waits for the initial list of every built-in kind, and for a limited time for the optional ones.
    ///
    /// # Errors
    /// When a watch ended before its initial list.
    pub(crate) async fn wait_until_ready(&self) -> Result<(), WatchEnded> {
        for kind in Kind::BUILT_IN {
            if let Some(store) = self.store(kind) {
                store.wait_until_ready().await?;
            }
        }
        let mut optional = self.optional.subscribe();
        let all_known = optional.wait_for(|optional| optional.0.len() == Kind::OPTIONAL.len());
        // A kind whose presence cannot be determined must not block the others.
        if tokio::time::timeout(OPTIONAL_WITHIN, all_known).await.is_err() {
            tracing::warn!("the optional kinds could not be discovered in time");
        }
        Ok(())
    }

    /// The cached object of that name.
    pub(crate) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<CachedObject>> {
        self.store(kind)?.get(namespace, name)
    }

    /// The pods or Jobs of an AuthService: see [`ObjectStore::group`].
    pub(crate) fn group(&self, kind: Kind, namespace: &str, auth_service: &str) -> Vec<Arc<CachedObject>> {
        self.store(kind).map(|store| store.group(namespace, auth_service)).unwrap_or_default()
    }

    /// The objects in all namespaces that use this database, each with its namespace.
    pub(crate) fn users_of_database(&self, kind: Kind, database: &str) -> Vec<(Box<str>, Arc<CachedObject>)> {
        self.store(kind).map(|store| store.users_of_database(database)).unwrap_or_default()
    }
}
