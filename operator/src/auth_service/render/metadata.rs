//! The metadata of all rendered objects.

use std::collections::BTreeMap;

use kube::core::ObjectMeta;

use crate::auth_service::validate::Validated;
use crate::names::{ARGO_CD_SYNC_OPTIONS, AUTH_SERVICE_ANNOTATION, Component, INSTANCE, Names};

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

/// The metadata of an object that outlives the AuthService.
pub(super) fn retained(service: &Validated, component: Component, metadata: ObjectMeta) -> ObjectMeta {
    let mut metadata = ObjectMeta {
        owner_references: None,
        labels: Some(retained_labels(&service.names, component)),
        ..metadata
    };
    metadata.annotations.get_or_insert_default().extend(retained_annotations(service));
    metadata
}

/// The labels of an object that outlives the AuthService: without the one by which other tools track what they
/// installed.
pub(super) fn retained_labels(names: &Names, component: Component) -> BTreeMap<String, String> {
    let mut labels = names.labels(component);
    labels.remove(INSTANCE);
    labels
}

/// The name of the AuthService, and what keeps Argo CD from deleting an object without an owner.
pub(super) fn retained_annotations(service: &Validated) -> BTreeMap<String, String> {
    [ARGO_CD_SYNC_OPTIONS, (AUTH_SERVICE_ANNOTATION, service.name.as_str())]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}
