//! Who sets the number of a Deployment's replicas.

use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::json;

use crate::auth_service::validate::first_replicas;
use crate::names::OPERATOR;

use super::Work;

/// Holds the number between us and the autoscaler. When we stop applying a field that nobody else has, the API
/// server removes it, and a Deployment without it has one replica.
const KEEPER: &str = "latchkey-operator-autoscaling";

impl Work<'_> {
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
            "metadata": { "uid": live.metadata.uid },
            "spec": { "replicas": first_replicas(autoscaling, replicas.unwrap_or(1)) },
        });
        api.patch(name, &PatchParams::apply(KEEPER).force(), &Patch::Apply(&change)).await.map(drop)
    }
}
