//! Protects the retained volume of an embedded PostgreSQL whose claim was created by an earlier release.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::work::Work;
use crate::error_chain::ErrorChain;
use crate::names::{ARGO_CD_SYNC_OPTIONS, AUTH_SERVICE_ANNOTATION, INSTANCE, MANAGED_BY, OPERATOR};

impl Work<'_> {
    /// Gives the claim the labels and annotations that the template of a new StatefulSet has: the template of an existing
    /// one is immutable. Once for each process; a failure does not fail the reconcile.
    pub(super) async fn protect_volume(&self) {
        let uid = &self.service.owner.uid;
        let retained = self.service.postgres.as_ref().is_some_and(|store| store.retained);
        if !retained || self.context.with_memory(uid, |memory| memory.volume_protected) {
            return;
        }
        match self.protect_claim().await {
            Ok(protected) => self.context.with_memory(uid, |memory| memory.volume_protected = protected),
            Err(error) => tracing::warn!(
                namespace = self.service.namespace,
                name = self.service.name,
                error = %ErrorChain(&error),
                "the claim of the retained volume could not be protected against other tools"
            ),
        }
    }

    /// Returns whether a claim exists and is protected.
    async fn protect_claim(&self) -> Result<bool, kube::Error> {
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(self.context.client.clone(), &self.service.namespace);
        let name = format!("data-{}-0", self.service.names.postgres());
        let Some(claim) = claims.get_opt(&name).await? else { return Ok(false) };
        let (annotation, value) = ARGO_CD_SYNC_OPTIONS;
        let is_ours = claim.labels().get(MANAGED_BY).is_some_and(|by| by == OPERATOR);
        let is_protected = !claim.labels().contains_key(INSTANCE)
            && claim.annotations().get(annotation).is_some_and(|found| found == value);
        if is_ours && !is_protected {
            let metadata = json!({
                "uid": claim.uid(),
                "resourceVersion": claim.resource_version(),
                "labels": { INSTANCE: null },
                "annotations": { annotation: value, AUTH_SERVICE_ANNOTATION: self.service.name },
            });
            let parameters =
                PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
            claims.patch_metadata(&name, &parameters, &Patch::Merge(json!({ "metadata": metadata }))).await?;
        }
        Ok(true)
    }
}
