//! Ownership of the number of replicas of the Deployment.

use std::sync::Arc;

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::auth_service::validate::first_replicas;
use crate::cluster::kinds::Kind;
use crate::names::OPERATOR;

use super::work::Work;

/// A field manager that holds the number of replicas while it passes from the operator to the autoscaler. When the
/// operator stops applying a field that has no other manager, the API server removes the field, and a Deployment
/// without it has one replica.
const KEEPER: &str = "latchkey-operator-autoscaling";

impl Work<'_> {
    /// Sets the number of replicas of a Deployment without any other change.
    pub(super) async fn scale(
        &mut self,
        name: &str,
        replicas: i32,
    ) -> Result<Option<Arc<DynamicObject>>, kube::Error> {
        let Some(seen) = self.context.cache.get(Kind::Deployment, &self.service.namespace, name) else {
            return Ok(None);
        };
        let live = seen.object();
        if !self.is_ours(&live) || live.data["spec"]["replicas"] == json!(replicas) {
            return Ok(None);
        }
        if !self.may_write().await? {
            return Ok(None);
        }
        let change = json!({ "metadata": { "uid": live.uid() }, "spec": { "replicas": replicas } });
        let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        let object = self.api(Kind::Deployment).patch(name, &parameters, &Patch::Merge(&change)).await?;
        self.context.metrics.applied(Kind::Deployment);
        Ok(Some(Arc::new(object)))
    }

    /// Transfers the field to the holding field manager before the Deployment is applied without it. The autoscaler's
    /// own write then takes it over.
    pub(super) async fn hand_over_replicas(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
    ) -> Result<(), kube::Error> {
        let Some(autoscaling) = self.service.autoscaling() else { return Ok(()) };
        // The cache does not contain managed fields.
        let live = api.get(name).await?;
        let ours = live.metadata.managed_fields.iter().flatten().any(|fields| {
            fields.manager.as_deref() == Some(OPERATOR)
                && fields.fields_v1.as_ref().is_some_and(|owned| !owned.0["f:spec"]["f:replicas"].is_null())
        });
        if !ours {
            return Ok(());
        }
        let replicas = live.data["spec"]["replicas"].as_i64().and_then(|number| i32::try_from(number).ok());
        let change = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            // The number that was read, unless it was changed since.
            "metadata": { "uid": live.metadata.uid, "resourceVersion": live.metadata.resource_version },
            "spec": { "replicas": first_replicas(autoscaling, replicas.unwrap_or(1)) },
        });
        api.patch(name, &PatchParams::apply(KEEPER).force(), &Patch::Apply(&change)).await.map(drop)
    }
}
