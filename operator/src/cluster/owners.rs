//! Which AuthService an object with the operator's label belongs to.
//!
//! Any user can set this label, and an owner reference as well. Only the names that the operator assigns limit how many
//! objects one AuthService can have in the cache. Pods and Jobs have generated names: a pod belongs to the AuthService
//! in its label, a Job to its controller.

use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::cluster::cached_object::CachedObject;
use crate::cluster::controller_reference::controller_of;
use crate::cluster::kinds::Kind;
use crate::cluster::observed::Observed;
use crate::names::INSTANCE;

/// The names of the objects of a kind that the operator creates for the AuthService of this name.
pub(crate) type OwnNames = fn(Kind, &str) -> Vec<String>;

/// The existing AuthServices and the names of their objects.
#[derive(Clone)]
pub(crate) struct Owners {
    auth_services: Store<Observed>,
    own_names: OwnNames,
}

impl Owners {
    pub(crate) fn new(auth_services: Store<Observed>, own_names: OwnNames) -> Self {
        Self { auth_services, own_names }
    }

    /// Whether objects of this kind are found by their AuthService instead of their names.
    pub(crate) fn are_grouped(kind: Kind) -> bool {
        matches!(kind, Kind::Job | Kind::Pod)
    }

    /// The name of the AuthService to which a cached pod or Job belongs.
    pub(crate) fn group_of(kind: Kind, object: &CachedObject) -> Option<&str> {
        match kind {
            Kind::Job => object.controller().map(|controller| &*controller.name),
            Kind::Pod => object.instance(),
            _ => None,
        }
    }

    /// What an object that is not stored is found by: its AuthService, or its name. `None` if it can never belong to
    /// an AuthService.
    pub(crate) fn unstored_group(kind: Kind, object: &DynamicObject) -> Option<&str> {
        match kind {
            Kind::Job => controller_of(object).map(|controller| controller.name.as_str()),
            Kind::Pod => object.labels().get(INSTANCE).map(String::as_str),
            _ => object.metadata.name.as_deref(),
        }
    }

    /// What the objects of a kind are found by that can belong to this AuthService.
    pub(crate) fn groups(&self, kind: Kind, auth_service: &str) -> Vec<String> {
        if Self::are_grouped(kind) {
            return vec![auth_service.to_owned()];
        }
        (self.own_names)(kind, auth_service)
    }

    /// Whether an AuthService exists to which the object belongs.
    pub(crate) fn has_owner(&self, kind: Kind, object: &DynamicObject) -> bool {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        Self::unstored_group(kind, object).is_some_and(|group| self.owns_group(kind, namespace, group))
    }

    /// Whether an AuthService exists to which the objects of this group belong.
    pub(crate) fn owns_group(&self, kind: Kind, namespace: &str, group: &str) -> bool {
        let exists = |name: &str| self.auth_services.get(&ObjectRef::new(name).within(namespace)).is_some();
        if Self::are_grouped(kind) {
            return exists(group);
        }
        let suffixes = (self.own_names)(kind, "");
        suffixes.iter().filter_map(|suffix| group.strip_suffix(&**suffix)).any(exists)
    }
}
