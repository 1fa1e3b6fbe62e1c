//! Tells pods that there is another key set.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::work::Work;
use crate::auth_service::render::KeysHint;
use crate::cluster::kinds::Kind;
use crate::error_chain::ErrorChain;
use crate::names::{KEYS_ANNOTATION, OPERATOR};

impl Work<'_> {
    /// Annotates a pod. Without that its kubelet finds the new set by itself, only later: no failure is one of the
    /// reconcile.
    pub(super) async fn hint(&self, hint: &KeysHint) {
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.service.namespace);
        let change =
            json!({ "metadata": { "uid": hint.uid, "annotations": { KEYS_ANNOTATION: hint.value } } });
        let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        match pods.patch_metadata(&hint.pod, &parameters, &Patch::Merge(&change)).await {
            Ok(_) => self.context.metrics.applied(Kind::Pod),
            // Gone, or another pod of that name.
            Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409 | 422) => {}
            Err(error) => tracing::warn!(
                pod = hint.pod,
                namespace = self.service.namespace,
                error = %ErrorChain(&error),
                "a pod could not be told of the new key set; its kubelet will find it"
            ),
        }
    }
}
