//! A cluster that does not know ServiceMonitors until later, with one operator for all its namespaces.

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::{
    Contents, ControlPlane, FIELD_MANAGER, apply, auth_service_crd, service_monitor_crd,
};
use latchkey_tests::operator::Installation;
use serde_json::json;

use crate::fixture::{NAME, condition};
use crate::waiting::wait_for;

#[tokio::test]
async fn a_kind_that_is_missing_is_a_condition_and_is_picked_up_when_it_comes() {
    let control_plane =
        ControlPlane::start(Contents { crds: &[auth_service_crd()], controllers: false }).await;
    let client = control_plane.client().await;
    let installation = Installation::new(&control_plane, "latchkey-system", &[]).await;
    let mut operator = installation.start("operator-0");
    operator.wait_until_ready().await;
    let namespaces = ["team-a", "team-b"];
    for namespace in namespaces {
        apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
            .await;
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": NAME}, "spec": {},
        });
        let api: Api<AuthService> = Api::namespaced(client.clone(), namespace);
        let parameters = PatchParams::apply(FIELD_MANAGER);
        api.patch(NAME, &parameters, &Patch::Apply(object)).await.expect("the AuthService");
    }
    for namespace in namespaces {
        wait_for_monitoring(&client, namespace, "False", "ServiceMonitorKindMissing").await;
    }

    control_plane.apply_crd(&service_monitor_crd()).await;
    for namespace in namespaces {
        wait_for_monitoring(&client, namespace, "True", "ServiceMonitorApplied").await;
        let gvk = GroupVersionKind::gvk("monitoring.coreos.com", "v1", "ServiceMonitor");
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&gvk));
        assert!(api.get_opt(NAME).await.expect("an answer").is_some());
    }

    // And when somebody takes it away again.
    control_plane.kubectl(&["delete", "crd", "servicemonitors.monitoring.coreos.com"]);
    for namespace in namespaces {
        wait_for_monitoring(&client, namespace, "False", "ServiceMonitorKindMissing").await;
    }
}

async fn wait_for_monitoring(client: &kube::Client, namespace: &str, status: &str, reason: &str) {
    let api: Api<AuthService> = Api::namespaced(client.clone(), namespace);
    wait_for(api, NAME, |object| {
        let found =
            object.and_then(|object| condition(object, "MonitoringConfigured")).ok_or("no condition")?;
        let fits = found.status == status && found.reason == reason;
        fits.then_some(()).ok_or_else(|| format!("{found:?}"))
    })
    .await;
}
