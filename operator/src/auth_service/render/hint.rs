//! The annotation on a server pod that makes its kubelet update a mounted Secret immediately instead of once a minute.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// A pod to notify of a changed Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    pub pod: String,
    pub uid: String,
    pub annotation: &'static str,
    /// The value of the annotation.
    pub value: String,
}

impl Hint {
    pub(super) fn new(pod: &Pod, annotation: &'static str, value: &str) -> Self {
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        Self { pod: name, uid, annotation, value: value.to_owned() }
    }
}

/// Whether a pod can still be notified: it runs, and does not have this value of the annotation.
pub(super) fn is_due(pod: &Pod, annotation: &str, value: &str) -> bool {
    let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    let notified = pod.annotations().get(annotation).is_some_and(|found| found == value);
    running && !notified && pod.metadata.deletion_timestamp.is_none()
}
