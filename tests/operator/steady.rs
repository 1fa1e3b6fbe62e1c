//! A steady state causes no writes.

use std::collections::BTreeMap;

use latchkey_tests::kubelet::Kubelet;
use latchkey_tests::operator::Operator;
use serde_json::{Value, json};

use crate::fixture::Fixture;

/// The resource versions of all owned objects, which change with every write of any client.
async fn versions(fixture: &Fixture) -> BTreeMap<String, Option<String>> {
    let owned = fixture.owned().await;
    owned.into_iter().map(|(name, object)| (name, object.metadata.resource_version)).collect()
}

/// Changes metadata that affect no object, and waits for the reconcile.
async fn reconcile_again(fixture: &Fixture, operator: &Operator) {
    let before = operator.metric("latchkey_operator_reconcile_total", &[]).await;
    fixture.touch().await;
    operator.wait_for_reconciles(before).await;
}

fn spec(resources: &Value) -> Value {
    json!({
        "replicas": 2,
        "database": {"embedded": {"storage": "1Gi"}},
        "email": {
            "enabled": true,
            "from": {"address": "no-reply@example.com"},
            "smtp": {"host": "smtp.example.com", "credentialsSecretRef": {"name": "smtp"}},
        },
        "pod": {"resources": resources},
    })
}

async fn bring_up(name: &str, resources: Value) -> (Fixture, Kubelet, Operator) {
    let fixture = Fixture::new(name).await;
    let kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply_secret("smtp", &[("username", "mailer"), ("password", "hunter22")]).await;
    fixture.apply(spec(&resources)).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;
    // The last write of the status triggers a separate reconcile.
    reconcile_again(&fixture, &operator).await;
    fixture.wait_for_audit_log().await;
    (fixture, kubelet, operator)
}

#[tokio::test]
async fn a_reconcile_without_changes_writes_nothing() {
    let resources = json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}});
    let (fixture, _kubelet, mut operator) = bring_up("steady", resources).await;
    let (before, writes) = (versions(&fixture).await, fixture.writes());
    assert!(before.len() > 14, "{before:?}");
    reconcile_again(&fixture, &operator).await;
    reconcile_again(&fixture, &operator).await;
    assert_eq!(fixture.writes()[writes.len()..], []);
    assert_eq!(versions(&fixture).await, before);

    // A new process has no state in memory, and still has nothing to do.
    operator.terminate();
    let restarted = fixture.start_operator().await;
    restarted.wait_for_reconciles(0.0).await;
    reconcile_again(&fixture, &restarted).await;
    assert_eq!(fixture.writes()[writes.len()..], []);
    assert_eq!(versions(&fixture).await, before);
    // The only warning for this spec.
    let usual = |(kind, reason, _): &(String, String, String)| kind == "Normal" || reason == "SingleInstance";
    assert!(fixture.events().await.iter().all(usual), "{:?}", fixture.events().await);
}

/// The API server writes `0.5` as `500m`. A process that has not observed this applies the object once, which changes
/// nothing.
#[tokio::test]
async fn an_equivalent_spelling_of_a_quantity_is_not_a_change() {
    let resources = json!({"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"memory": "2048Mi"}});
    let (fixture, _kubelet, mut operator) = bring_up("spelling", resources).await;
    let (before, writes) = (versions(&fixture).await, fixture.writes());
    reconcile_again(&fixture, &operator).await;
    assert_eq!(fixture.writes()[writes.len()..], []);
    operator.terminate();
    let restarted = fixture.start_operator().await;
    restarted.wait_for_reconciles(0.0).await;
    reconcile_again(&fixture, &restarted).await;
    assert_eq!(versions(&fixture).await, before);
    let asked = &fixture.writes()[writes.len()..];
    assert!(asked.len() <= 1 && asked.iter().all(|write| write.resource == "deployments"), "{asked:?}");
}

#[tokio::test]
async fn the_creation_writes_each_object_once() {
    let fixture = Fixture::new("frugal").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    let reads = async || operator.metric("latchkey_operator_api_requests_total", &["verb=\"read\""]).await;
    let before = reads().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert!((reads().await - before).abs() < 0.5, "it read objects that it creates");
    let writes = fixture.writes();
    let refused: Vec<_> = writes.iter().filter(|write| write.code >= 400).collect();
    assert!(refused.is_empty(), "the API server refused writes: {refused:?}");
    // Every object is written once.
    let objects: Vec<_> =
        writes.iter().filter(|w| !w.resource.ends_with("/status")).map(|w| (&w.resource, &w.name)).collect();
    let mut distinct = objects.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(objects.len(), distinct.len(), "{objects:?}");
    let statuses = writes.iter().filter(|write| write.resource == "authservices/status").count();
    assert!(statuses <= 10, "{statuses} status writes");
}
