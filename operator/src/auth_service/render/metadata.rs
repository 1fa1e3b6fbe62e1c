//! The metadata of all rendered objects.

use kube::core::ObjectMeta;

use crate::auth_service::validate::Validated;
use crate::names::Component;

/// Name, namespace, labels and owner of an object that belongs to a component.
pub(super) fn metadata(service: &Validated, name: impl Into<String>, component: Component) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some(service.namespace.clone()),
        labels: Some(service.names.labels(component)),
        owner_references: Some(vec![service.owner.clone()]),
        ..ObjectMeta::default()
    }
}
