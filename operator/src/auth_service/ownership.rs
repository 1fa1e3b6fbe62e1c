//! Objects of the operator whose owner reference was removed. Pure.

use kube::ResourceExt;
use kube::core::DynamicObject;

use crate::cluster::controller_reference::controller_of;
use crate::names::{
    ADOPT_ANNOTATION, AUTH_SERVICE_ANNOTATION, INSTANCE, MANAGED_BY, OPERATOR, RENDERED_ANNOTATION,
};

/// Whether an object has no controller, but the labels and annotation of an object that the operator created for this
/// AuthService. Its owner reference is restored. To keep such an object, remove the label as well.
///
/// Every writer in the namespace can set these marks, so that the content of such an object must not be trusted.
/// Overwriting it gives the writer no additional rights.
pub(crate) fn is_orphan_of(object: &DynamicObject, name: &str) -> bool {
    let says = |label: &str, value: &str| object.labels().get(label).is_some_and(|found| found == value);
    controller_of(object).is_none()
        && says(MANAGED_BY, OPERATOR)
        && says(INSTANCE, name)
        && object.annotations().contains_key(RENDERED_ANNOTATION)
}

/// Whether an object without controller has the annotation by which its writer gives it to this AuthService, content
/// included: a Secret from a backup, whose owner reference names an AuthService that no longer exists or is missing.
pub(crate) fn is_given_to(object: &DynamicObject, name: &str) -> bool {
    controller_of(object).is_none()
        && object.annotations().get(ADOPT_ANNOTATION).is_some_and(|given| given == name)
}

/// Whether an object was left by a deleted AuthService of this name that retained it.
pub(crate) fn was_retained_for(object: &DynamicObject, name: &str) -> bool {
    let says = |label: &str, value: &str| object.labels().get(label).is_some_and(|found| found == value);
    controller_of(object).is_none()
        && says(MANAGED_BY, OPERATOR)
        && (object.annotations().get(AUTH_SERVICE_ANNOTATION).is_some_and(|found| found == name)
            // Of 0.1.0, or of one that the spec did not retain yet.
            || says(INSTANCE, name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_orphan_has_every_mark_and_no_controller() {
        let whole = json!({"metadata": {
            "labels": {"app.kubernetes.io/managed-by": "latchkey-operator", "app.kubernetes.io/instance": "auth"},
            "annotations": {"latchkey.dev/rendered": "1"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "y"}],
        }});
        let is_orphan = |object: &serde_json::Value, name: &str| {
            is_orphan_of(&serde_json::from_value(object.clone()).unwrap(), name)
        };
        assert!(is_orphan(&whole, "auth") && !is_orphan(&whole, "other"));
        for mark in [
            "/metadata/labels/app.kubernetes.io~1managed-by",
            "/metadata/labels/app.kubernetes.io~1instance",
            "/metadata/annotations",
        ] {
            let mut lacking = whole.clone();
            *lacking.pointer_mut(mark).unwrap() =
                if mark.ends_with("annotations") { json!({}) } else { json!("x") };
            assert!(!is_orphan(&lacking, "auth"), "{mark}");
        }
        let mut controlled = whole;
        controlled["metadata"]["ownerReferences"][0]["controller"] = json!(true);
        assert!(!is_orphan(&controlled, "auth"));
    }
}
