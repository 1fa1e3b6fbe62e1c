//! Notifies pods of a new key set or client registry.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::work::Work;
use crate::auth_service::render::Hint;
use crate::cluster::kinds::Kind;
use crate::error_chain::ErrorChain;
use crate::names::OPERATOR;

impl Work<'_> {
    /// Annotates a pod, which makes its kubelet update the mounted Secret. Without the annotation the kubelet updates
    /// it later, so that a failure here does not fail the reconcile.
    pub(super) async fn hint(&self, hint: &Hint) {
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.service.namespace);
        let annotations = json!({ hint.annotation: hint.value });
        let change = json!({ "metadata": { "uid": hint.uid, "annotations": annotations } });
        let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        match pods.patch_metadata(&hint.pod, &parameters, &Patch::Merge(&change)).await {
            Ok(_) => self.context.metrics.applied(Kind::Pod),
            // The pod is gone, or another pod has its name.
            Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409 | 422) => {}
            Err(error) => tracing::warn!(
                pod = hint.pod,
                annotation = hint.annotation,
                namespace = self.service.namespace,
                error = %ErrorChain(&error),
                "could not annotate a pod about a changed Secret; its kubelet updates the volume later"
            ),
        }
    }
}
