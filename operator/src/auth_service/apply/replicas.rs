//! Who sets the number of a Deployment's replicas.

use std::sync::Arc;

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::auth_service::validate::first_replicas;
use crate::cluster::kinds::Kind;
use crate::names::OPERATOR;

use super::work::Work;

/// Holds the number between us and the autoscaler. When we stop applying a field that nobody else has, the API
/// server removes it, and a Deployment without it has one replica.
const KEEPER: &str = "latchkey-operator-autoscaling";

impl Work<'_> {
    /// Sets the number in a Deployment that is otherwise left as it is.
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
        let change = json!({ "metadata": { "uid": live.uid() }, "spec": { "replicas": replicas } });
        let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        let object = self.api(Kind::Deployment).patch(name, &parameters, &Patch::Merge(&change)).await?;
        self.context.metrics.applied(Kind::Deployment);
        Ok(Some(Arc::new(object)))
    }

    /// Gives the number away, before the Deployment is applied without it, when it is ours. The autoscaler's own
    /// writing then takes it from the keeper.
    pub(super) async fn hand_over_replicas(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
    ) -> Result<(), kube::Error> {
        let Some(autoscaling) = self.service.autoscaling() else { return Ok(()) };
        // The watch keeps no managed fields.
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
            // The number that was read, unless somebody has set another since.
            "metadata": { "uid": live.metadata.uid, "resourceVersion": live.metadata.resource_version },
            "spec": { "replicas": first_replicas(autoscaling, replicas.unwrap_or(1)) },
        });
        api.patch(name, &PatchParams::apply(KEEPER).force(), &Patch::Apply(&change)).await.map(drop)
    }
}
