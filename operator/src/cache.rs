//! What the watches last saw: one store a kind, fed by one watch each, so that a reconcile asks no API server.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::DynamicObject;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::kinds::Kind;

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

/// The stores.
#[derive(Clone, Default)]
pub struct Cache {
    stores: Arc<RwLock<BTreeMap<Kind, Store<DynamicObject>>>>,
    service_monitors: Arc<RwLock<Option<bool>>>,
}

impl Cache {
    /// Takes in the store of a kind.
    pub fn insert(&self, kind: Kind, store: Store<DynamicObject>) {
        self.stores.write().unwrap_or_else(PoisonError::into_inner).insert(kind, store);
    }

    /// Forgets the store of a kind that the cluster no longer knows.
    pub fn remove(&self, kind: Kind) {
        self.stores.write().unwrap_or_else(PoisonError::into_inner).remove(&kind);
    }

    /// Says whether the definition of ServiceMonitors exists; `None` when that cannot be told.
    pub fn set_service_monitors(&self, known: Option<bool>) {
        *self.service_monitors.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Whether ServiceMonitors can be made.
    pub fn service_monitors(&self) -> Presence {
        match *self.service_monitors.read().unwrap_or_else(PoisonError::into_inner) {
            Some(true) if self.store(Kind::ServiceMonitor).is_some() => Presence::Present,
            Some(false) => Presence::Absent,
            Some(true) | None => Presence::Unknown,
        }
    }

    fn store(&self, kind: Kind) -> Option<Store<DynamicObject>> {
        self.stores.read().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned()
    }

    /// Waits until every watch has listed once.
    ///
    /// # Errors
    /// When a watch ended before.
    pub async fn wait_until_ready(&self) -> Result<(), kube::runtime::reflector::store::WriterDropped> {
        for kind in Kind::BUILT_IN {
            if let Some(store) = self.store(kind) {
                store.wait_until_ready().await?;
            }
        }
        Ok(())
    }

    /// The object of that name, as last seen.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<DynamicObject>> {
        let key = ObjectRef::new_with(name, kind.api_resource()).within(namespace);
        self.store(kind)?.get(&key)
    }

    /// The objects in a namespace for which `wanted` holds.
    pub fn find(
        &self,
        kind: Kind,
        namespace: &str,
        wanted: impl Fn(&DynamicObject) -> bool,
    ) -> Vec<Arc<DynamicObject>> {
        self.store(kind)
            .map(|store| {
                store.state_filter(|object| {
                    object.metadata.namespace.as_deref() == Some(namespace) && wanted(object)
                })
            })
            .unwrap_or_default()
    }
}

/// The reference to the object's controller, if it has one.
pub fn controller_of(object: &DynamicObject) -> Option<&OwnerReference> {
    object.metadata.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}
