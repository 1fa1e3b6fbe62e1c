//! Autoscaling. The cluster has no metrics: the tests write to the Deployment as the autoscaler would.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Patch, PatchParams};
use latchkey_crds::AuthService;
use latchkey_tests::audit::Write;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};

async fn scale_as_the_autoscaler(fixture: &Fixture, replicas: i32) {
    let parameters =
        PatchParams { field_manager: Some("kube-controller-manager".to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    fixture.api::<Deployment>().patch_scale(NAME, &parameters, &patch).await.expect("it is scaled");
}

fn replicas(fixture: &Fixture) -> impl Future<Output = Option<i32>> {
    let api = fixture.api::<Deployment>();
    async move { api.get(NAME).await.expect("the Deployment").spec.replicas }
}

#[tokio::test]
async fn enabling_and_disabling_autoscaling_does_not_change_the_replicas() {
    let fixture = Fixture::new("autoscaling").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"replicas": 3})).await;
    fixture.wait_for_condition("Ready", "True").await;

    let autoscaling = json!({"minReplicas": 2, "maxReplicas": 5, "scaleDownAfterSeconds": 0});
    let spec = |more: Value| {
        let mut spec = json!({"autoscaling": autoscaling});
        spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        spec
    };
    let before = fixture.writes().len();
    fixture.apply(spec(json!({}))).await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME});
    fixture.wait_for_value("HorizontalPodAutoscaler", NAME, "/spec/scaleTargetRef", &target).await;
    fixture.wait_for_value("HorizontalPodAutoscaler", NAME, "/spec/maxReplicas", &json!(5)).await;
    // The current number is kept; the default of the field would be one.
    fixture.wait_for_condition("Ready", "True").await;
    let ready = fixture.wait_for_reason("Ready", "True", "Available").await;
    assert_eq!(ready.message, "3 of 3 replicas are ready.");
    assert_eq!(replicas(&fixture).await, Some(3));
    let handed_over = fixture.api::<Deployment>().get(NAME).await.expect("the Deployment");
    let owners: Vec<_> = handed_over
        .metadata
        .managed_fields
        .iter()
        .flatten()
        .filter(|entry| {
            entry.fields_v1.as_ref().is_some_and(|fields| !fields.0["f:spec"]["f:replicas"].is_null())
        })
        .map(|entry| entry.manager.clone().unwrap_or_default())
        .collect();
    assert!(!owners.contains(&"latchkey-operator".to_owned()), "{owners:?}");
    let refused: Vec<_> = fixture.writes().drain(before..).filter(Write::is_refused).collect();
    assert!(refused.is_empty(), "{refused:?}");

    scale_as_the_autoscaler(&fixture, 4).await;
    // A rollout does not change the number.
    fixture.apply(spec(json!({"logging": {"level": "debug"}}))).await;
    fixture.wait_for_value("ConfigMap", "auth-settings", "/data/LOG_LEVEL", &json!("debug")).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert_eq!(replicas(&fixture).await, Some(4));
    fixture.wait_for_value("PodDisruptionBudget", NAME, "/spec/maxUnavailable", &json!(1)).await;

    // Scaling an autoscaled AuthService is refused with the reason; scaling to zero is not.
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let refused = fixture.api::<AuthService>().patch_scale(NAME, &PatchParams::default(), &patch).await;
    let error = refused.expect_err("it is refused").to_string();
    assert!(error.contains("spec.replicas and spec.autoscaling exclude each other"), "{error}");
    fixture.merge(json!({"spec": {"replicas": 0}})).await;
    fixture.wait_for_reason("Ready", "False", "ScaledToZero").await;
    fixture.wait_until_gone("HorizontalPodAutoscaler", NAME).await;
    fixture.merge(json!({"spec": {"replicas": 1}})).await;
    // The autoscaler ignores a Deployment without replicas, so that it starts with the minimum.
    fixture.wait_for_value("Deployment", NAME, "/spec/replicas", &json!(2)).await;
    fixture.wait_for_condition("Ready", "True").await;

    fixture.merge(json!({"spec": {"autoscaling": null, "replicas": 1}})).await;
    fixture.wait_until_gone("HorizontalPodAutoscaler", NAME).await;
    fixture.wait_for_value("Deployment", NAME, "/spec/replicas", &json!(1)).await;
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn missing_metrics_are_reported_with_the_remedy() {
    let fixture = Fixture::new("without-metrics").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"replicas": 2})).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("AutoscalingActive", "False", "Disabled").await;
    fixture.apply(json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 3}})).await;
    fixture.wait_for_reason("AutoscalingActive", "Unknown", "WaitingForMetrics").await;
    let failed = json!("FailedGetResourceMetric");
    fixture.wait_for_value("HorizontalPodAutoscaler", NAME, "/status/conditions/1/reason", &failed).await;

    // Simulates a longer failure: the controller keeps the transition time.
    let api = fixture.api::<HorizontalPodAutoscaler>();
    let found = api.get(NAME).await.expect("the autoscaler").status.expect("a status");
    let mut conditions = serde_json::to_value(found.conditions.expect("conditions")).expect("JSON");
    for condition in conditions.as_array_mut().expect("a list") {
        condition["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
    }
    let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
    api.patch_status(NAME, &PatchParams::default(), &patch).await.expect("the API server accepts the patch");
    let condition = fixture.wait_for_reason("AutoscalingActive", "False", "MetricsMissing").await;
    for part in ["metrics-server", "kubectl top pods", "pods.metrics.k8s.io"] {
        assert!(condition.message.contains(part), "{condition:?}");
    }
    // The service is available, and the number of replicas is unchanged.
    fixture.wait_for_reason("Ready", "True", "Available").await;
    assert_eq!(replicas(&fixture).await, Some(2));
    let events = fixture.events().await;
    let warned =
        |(kind, reason, _): &(String, String, String)| kind == "Warning" && reason == "MetricsMissing";
    assert!(events.iter().any(warned), "{events:?}");

    fixture.merge(json!({"spec": {"replicas": 0}})).await;
    fixture.wait_for_reason("AutoscalingActive", "False", "ScaledToZero").await;
}
