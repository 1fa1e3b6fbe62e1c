//! Owned objects that somebody edits or deletes.

use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

/// One edit for each object: where, and what somebody writes there. A JSON pointer names the place that must
/// be as it was afterwards.
fn edits() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let container = |patch: Value| json!({"spec": {"template": {"spec": {"containers": [patch]}}}});
    vec![
        (
            "ConfigMap",
            "auth-settings",
            json!({"data": {"ISSUER_URL": "http://evil.example.com"}}),
            "/data/ISSUER_URL",
        ),
        (
            "ServiceAccount",
            NAME,
            json!({"automountServiceAccountToken": true}),
            "/automountServiceAccountToken",
        ),
        (
            "Service",
            NAME,
            json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}}),
            "/spec/selector",
        ),
        (
            "Service",
            "auth-management",
            json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}}),
            "/spec/selector",
        ),
        (
            "Service",
            "auth-postgres",
            json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}}),
            "/spec/selector",
        ),
        (
            "Service",
            "auth-redis",
            json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}}),
            "/spec/selector",
        ),
        ("Deployment", NAME, json!({"spec": {"replicas": 7}}), "/spec/replicas"),
        (
            "Deployment",
            NAME,
            container(json!({"name": "server", "image": "evil.example.com/x"})),
            "/spec/template/spec/containers/0/image",
        ),
        ("StatefulSet", "auth-postgres", json!({"spec": {"replicas": 0}}), "/spec/replicas"),
        ("StatefulSet", "auth-redis", json!({"spec": {"replicas": 0}}), "/spec/replicas"),
        ("PodDisruptionBudget", NAME, json!({"spec": {"maxUnavailable": 2}}), "/spec/maxUnavailable"),
        ("ServiceMonitor", NAME, json!({"spec": {"endpoints": [{"port": "http"}]}}), "/spec/endpoints"),
        ("Secret", "auth-smtp", json!({"data": {"password": "ZXZpbA=="}}), "/data/password"),
        (
            "Secret",
            "auth-jwt-keys",
            json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}}),
            "/metadata/labels",
        ),
        // A label that is taken away also takes the object out of the operator's watch.
        (
            "Deployment",
            NAME,
            json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}),
            "/metadata/labels/app.kubernetes.io~1managed-by",
        ),
    ]
}

async fn bring_up(name: &str) -> (Fixture, impl Sized) {
    let fixture = Fixture::new(name).await;
    let kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply_secret("smtp", &[("username", "mailer"), ("password", "hunter22")]).await;
    fixture
        .apply(json!({
            "replicas": 2,
            "email": {
                "enabled": true,
                "from": {"address": "no-reply@example.com"},
                "smtp": {"host": "smtp.example.com", "credentialsSecretRef": {"name": "smtp"}},
            },
        }))
        .await;
    fixture.wait_for_condition("Ready", "True").await;
    (fixture, (kubelet, operator))
}

#[tokio::test]
async fn what_somebody_edits_is_put_right() {
    let (fixture, _running) = bring_up("edits").await;
    for (kind, name, patch, pointer) in edits() {
        let api = fixture.any(kind);
        let value = |object: &kube::api::DynamicObject| {
            serde_json::to_value(object).expect("JSON").pointer(pointer).cloned().unwrap_or(Value::Null)
        };
        let before = value(&api.get(name).await.expect("the object"));
        // A strategic merge, as `kubectl edit` does; Prometheus' kind knows only the plain one.
        let edit = if kind == "ServiceMonitor" { Patch::Merge(&patch) } else { Patch::Strategic(&patch) };
        let edited = api.patch(name, &PatchParams::default(), &edit).await.expect("the edit");
        assert_ne!(value(&edited), before, "{kind}/{name}: the edit changes something");
        wait_for(api, name, |object| {
            let now = object.map(value);
            (now.as_ref() == Some(&before))
                .then_some(())
                .ok_or_else(|| format!("{kind}: {now:?}, not {before}"))
        })
        .await;
    }
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn what_somebody_deletes_is_made_again() {
    let (fixture, _running) = bring_up("deletes").await;
    for (name, object) in fixture.owned().await {
        let (kind, name) = name.split_once('/').expect("a kind and a name");
        // Keys are never made again: see keys.rs.
        if name == "auth-jwt-keys" {
            continue;
        }
        let api = fixture.any(kind);
        api.delete(name, &DeleteParams::background()).await.unwrap_or_else(|e| panic!("{kind}/{name}: {e}"));
        let before = object.uid();
        wait_for(api, name, |object| {
            let made = object
                .is_some_and(|object| object.uid() != before && object.metadata.deletion_timestamp.is_none());
            made.then_some(()).ok_or_else(|| format!("{kind}/{name} is not there again"))
        })
        .await;
    }
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_condition("KeysReady", "True").await;
}
