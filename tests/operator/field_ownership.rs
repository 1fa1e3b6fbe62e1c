//! Fields that other field managers add to owned objects are kept.

use kube::api::{Patch, PatchParams};
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::{Fixture, NAME};

#[tokio::test]
async fn fields_that_a_service_mesh_adds_to_the_deployment_are_kept() {
    let fixture = Fixture::new("mesh").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;

    let sidecar = json!({
        "name": "proxy", "image": "mesh.example.com/proxy:1",
        "securityContext": {
            "allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
        },
    });
    let theirs = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "labels": {"mesh.example.com/revision": "1"}},
        "spec": {"template": {
            "metadata": {"annotations": {"mesh.example.com/injected": "true"}},
            "spec": {"containers": [sidecar]},
        }},
    });
    let deployments = fixture.any("Deployment");
    // Without force: none of these fields is owned by the operator.
    let parameters = PatchParams::apply("mesh-injector");
    deployments
        .patch(NAME, &parameters, &Patch::Apply(&theirs))
        .await
        .expect("no field of it is owned by the operator");
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_audit_log().await;
    let writes = fixture.writes().len();
    let before = operator.metric("latchkey_operator_reconcile_total", &[]).await;
    wait::until("several reconciles", async || {
        fixture.touch().await;
        let reconciles = operator.metric("latchkey_operator_reconcile_total", &[]).await;
        wait::check(reconciles > before + 3.0, reconciles)
    })
    .await;
    let written: Vec<_> = fixture.writes().split_off(writes);
    assert!(written.iter().all(|write| write.resource != "deployments"), "{written:?}");

    // A change of the spec only affects owned fields.
    fixture.apply(json!({"pod": {"annotations": {"ours": "yes"}}})).await;
    fixture
        .wait_for_value("Deployment", NAME, "/spec/template/metadata/annotations/ours", &json!("yes"))
        .await;
    let now = deployments.get(NAME).await.expect("the Deployment");
    let template = &now.data["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"]["mesh.example.com/injected"], "true");
    let containers: Vec<_> = template["spec"]["containers"].as_array().expect("containers").iter().collect();
    assert!(containers.iter().any(|container| container["name"] == "proxy"), "{containers:?}");
    assert_eq!(now.metadata.labels.expect("labels")["mesh.example.com/revision"], "1");
}
