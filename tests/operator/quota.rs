//! Quotas: each component fits into one that demands limits, and a rollout fits into one without room for another pod.

use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::DeleteParams;
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::apply;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME, condition};
use crate::waiting::wait_for;

/// Creates a quota, and waits until its controller has counted what exists.
async fn apply_quota(fixture: &Fixture, hard: &Value) {
    let metadata = json!({"name": "limits", "namespace": fixture.namespace});
    let quota =
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}});
    apply(&fixture.client, &quota).await;
    wait::until("the quota to be counted", async || {
        let status = fixture.api::<ResourceQuota>().get("limits").await.expect("the quota").status;
        wait::check(status.as_ref().is_some_and(|status| status.used.is_some()), status)
    })
    .await;
}

/// Waits until `Ready` is `False` and its message contains this.
async fn wait_for_words(fixture: &Fixture, words: &str) {
    wait_for(fixture.api::<AuthService>(), NAME, |object| {
        let ready = object.and_then(|object| condition(object, "Ready")).ok_or("no condition")?;
        let found = ready.status == "False" && ready.message.contains(words);
        found.then_some(()).ok_or_else(|| format!("{ready:?}"))
    })
    .await;
}

#[tokio::test]
async fn every_component_fits_into_a_quota_that_demands_limits() {
    let fixture = Fixture::new("quota-limits").await;
    let _kubelet = fixture.start_kubelet();
    apply_quota(&fixture, &json!({"limits.cpu": "4", "requests.cpu": "4"})).await;
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    wait_for_words(&fixture, "must specify limits.cpu").await;
    let resources = |cpu: &str| json!({"requests": {"cpu": cpu, "memory": "32Mi"}, "limits": {"cpu": cpu, "memory": "64Mi"}});
    let spec = json!({
        "database": {"embedded": {"resources": resources("400m")}},
        "redis": {"embedded": {"resources": resources("300m")}},
        "migration": {"resources": resources("200m")},
        "pod": {"resources": resources("100m")},
    });
    fixture.apply(spec).await;
    fixture.wait_for_condition("Ready", "True").await;
    let limit = "/spec/template/spec/containers/0/resources/limits/cpu";
    fixture.wait_for_value("StatefulSet", "auth-postgres", limit, &json!("400m")).await;
    fixture.wait_for_value("StatefulSet", "auth-redis", limit, &json!("300m")).await;
    fixture.wait_for_value("Deployment", NAME, limit, &json!("100m")).await;
    // Unset again, the defaults apply.
    fixture.api::<ResourceQuota>().delete("limits", &DeleteParams::default()).await.expect("it is deleted");
    fixture.apply(json!({})).await;
    fixture.wait_for_value("StatefulSet", "auth-redis", limit, &Value::Null).await;
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn a_rollout_fits_into_a_quota_without_room_for_another_pod() {
    let fixture = Fixture::new("quota-rollout").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply_secret("cache", &[("url", "redis://:x@redis.example.com")]).await;
    let spec = |rollout: Value, level: &str| {
        json!({
            "replicas": 2, "rollout": rollout, "logging": {"level": level},
            "database": {"urlSecretRef": {"name": "database"}}, "redis": {"urlSecretRef": {"name": "cache"}},
        })
    };
    fixture.apply(spec(json!({}), "info")).await;
    fixture.wait_for_condition("Ready", "True").await;
    apply_quota(&fixture, &json!({"pods": "2"})).await;
    fixture.apply(spec(json!({}), "debug")).await;
    wait_for_words(&fixture, "exceeded quota: limits").await;
    let condition = fixture.wait_for_reason("Ready", "False", "PodsNotCreated").await;
    assert!(condition.message.contains("0 of 2 replicas are updated, 2 are ready"), "{}", condition.message);
    fixture.apply(spec(json!({"maxSurge": 0, "maxUnavailable": "50%"}), "debug")).await;
    fixture
        .wait_for_value("Deployment", NAME, "/spec/strategy/rollingUpdate/maxUnavailable", &json!("50%"))
        .await;
    fixture.wait_for_condition("Ready", "True").await;
}
