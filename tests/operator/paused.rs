//! `spec.paused`.

use kube::api::DeleteParams;
use serde_json::json;

use crate::fixture::{Fixture, NAME};

#[tokio::test]
async fn a_paused_auth_service_is_not_changed_except_for_its_status() {
    let fixture = Fixture::new("paused").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"replicas": 2})).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("Paused", "False", "NotPaused").await;
    fixture.wait_for_reason("Reconciling", "False", "Settled").await;

    fixture.merge(json!({"spec": {"paused": true}})).await;
    fixture.wait_for_reason("Paused", "True", "Paused").await;
    // The service matches the spec and continues to run.
    fixture.wait_for_reason("Ready", "True", "Available").await;
    fixture.wait_for_reason("Progressing", "False", "Paused").await;
    fixture.wait_for_reason("Stalled", "False", "NotStalled").await;

    let objects = |fixture: &Fixture| {
        let mut writes = fixture.writes();
        writes.retain(|write| !write.resource.ends_with("/status"));
        writes.len()
    };
    fixture.wait_for_audit_log().await;
    let before = objects(&fixture);
    fixture.any("PodDisruptionBudget").delete(NAME, &DeleteParams::default()).await.expect("it is deleted");
    fixture.merge(json!({"spec": {"logging": {"level": "debug"}}})).await;
    fixture.wait_for_reason("Ready", "False", "Paused").await;
    fixture.wait_for_reason("Stalled", "True", "Paused").await;
    assert_eq!(objects(&fixture), before, "nothing but the status is written");
    assert!(fixture.any("PodDisruptionBudget").get_opt(NAME).await.expect("a response").is_none());

    fixture.merge(json!({"spec": {"paused": false}})).await;
    fixture.wait_for_value("PodDisruptionBudget", NAME, "/spec/maxUnavailable", &json!(1)).await;
    fixture.wait_for_value("ConfigMap", "auth-settings", "/data/LOG_LEVEL", &json!("debug")).await;
    fixture.wait_for_reason("Ready", "True", "Available").await;
}

#[tokio::test]
async fn an_auth_service_that_is_created_paused_has_no_keys() {
    let fixture = Fixture::new("born-paused").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let object = fixture.apply(json!({"paused": true})).await;
    // Before the first reconcile, tools do not consider it complete.
    assert_eq!(object.status.expect("a status").observed_generation, Some(-1));
    fixture.wait_for_reason("Ready", "False", "Paused").await;
    fixture.wait_for_reason("KeysReady", "False", "Blocked").await;
    assert!(fixture.owned().await.is_empty());
    assert!(fixture.auth_service().await.status.expect("a status").signing_keys.is_empty());
    fixture.merge(json!({"spec": {"paused": null}})).await;
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn a_pending_ingress_is_reported_during_a_pause() {
    let fixture = Fixture::new("paused-ingress").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"issuer": "https://auth.example.com"})).await;
    fixture.wait_for_condition("Ready", "True").await;

    let exposure = json!({"ingress": {"host": "auth.example.com"}});
    fixture.merge(json!({"spec": {"paused": true, "exposure": exposure}})).await;
    fixture.wait_for_reason("Ready", "False", "Paused").await;
    assert!(fixture.any("Ingress").get_opt(NAME).await.expect("a response").is_none());

    fixture.merge(json!({"spec": {"paused": false}})).await;
    fixture.wait_for_value("Ingress", NAME, "/spec/rules/0/host", &json!("auth.example.com")).await;
    fixture.wait_for_reason("Ready", "True", "Available").await;

    // An object that is not needed any more is pending as well.
    fixture.merge(json!({"spec": {"paused": true, "exposure": null}})).await;
    fixture.wait_for_reason("Ready", "False", "Paused").await;
    fixture.merge(json!({"spec": {"paused": false}})).await;
    fixture.wait_for_reason("Ready", "True", "Available").await;
}

#[tokio::test]
async fn a_completed_migration_is_not_pending() {
    let fixture = Fixture::new("paused-migration").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    // The pod template of the completed Job is immutable and keeps its node selector.
    fixture.merge(json!({"spec": {"pod": {"nodeSelector": {"disk": "ssd"}}}})).await;
    let selector = "/spec/template/spec/nodeSelector/disk";
    fixture.wait_for_value("Deployment", NAME, selector, &json!("ssd")).await;
    fixture.wait_for_condition("Ready", "True").await;

    fixture.merge(json!({"spec": {"paused": true}})).await;
    fixture.wait_for_reason("Paused", "True", "Paused").await;
    fixture.wait_for_reason("Ready", "True", "Available").await;
}
