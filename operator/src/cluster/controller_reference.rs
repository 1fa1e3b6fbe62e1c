//! The owner reference that marks the controller of an object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::DynamicObject;

/// The owner reference with `controller: true`, if the object has one.
pub(crate) fn controller_of(object: &DynamicObject) -> Option<&OwnerReference> {
    object.metadata.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}
