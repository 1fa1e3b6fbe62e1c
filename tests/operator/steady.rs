//! Nothing to do: nothing is written.

use std::collections::BTreeMap;

use latchkey_tests::operator::Operator;
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::Fixture;

/// The resource version of everything owned: it changes with every write, by whomever.
async fn versions(fixture: &Fixture) -> BTreeMap<String, Option<String>> {
    let owned = fixture.owned().await;
    owned.into_iter().map(|(name, object)| (name, object.metadata.resource_version)).collect()
}

async fn wait_for_reconciles(operator: &Operator, more_than: f64) {
    wait::until("the operator to look again", async || {
        let ended = operator.metric("latchkey_operator_reconcile_total", &[]).await;
        (ended > more_than).then_some(())
    })
    .await;
}

/// Changes something about the AuthService that nothing is made of, and waits until the operator has looked.
async fn touch(fixture: &Fixture, operator: &Operator, value: &str) {
    let before = operator.metric("latchkey_operator_reconcile_total", &[]).await;
    fixture.merge(json!({"metadata": {"annotations": {"touched": value}}})).await;
    wait_for_reconciles(operator, before).await;
}

#[tokio::test]
async fn a_look_that_finds_everything_in_order_writes_nothing() {
    let fixture = Fixture::new("steady").await;
    let _kubelet = fixture.start_kubelet();
    let mut operator = fixture.start_operator().await;
    fixture.apply_secret("smtp", &[("username", "mailer"), ("password", "hunter22")]).await;
    fixture
        .apply(json!({
            "replicas": 2,
            "database": {"embedded": {"storage": "1Gi"}},
            "email": {
                "enabled": true,
                "from": {"address": "no-reply@example.com"},
                "smtp": {"host": "smtp.example.com", "credentialsSecretRef": {"name": "smtp"}},
            },
            // Written in another way than the API server keeps it.
            "pod": {"resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"memory": "2048Mi"}}},
        }))
        .await;
    fixture.wait_for_condition("Ready", "True").await;
    // The last write of the status leads to a look of its own.
    touch(&fixture, &operator, "1").await;

    let (before, writes) = (versions(&fixture).await, fixture.writes());
    assert!(before.len() > 14, "{before:?}");
    touch(&fixture, &operator, "2").await;
    touch(&fixture, &operator, "3").await;
    assert_eq!(versions(&fixture).await, before);
    assert_eq!(fixture.writes()[writes.len()..], []);

    // A new process has forgotten everything, and still finds nothing to do.
    operator.terminate();
    let restarted = fixture.start_operator().await;
    wait_for_reconciles(&restarted, 0.0).await;
    touch(&fixture, &restarted, "4").await;
    assert_eq!(versions(&fixture).await, before);
    assert_eq!(fixture.writes()[writes.len()..], []);
    assert!(fixture.events().await.iter().all(|(kind, ..)| kind == "Normal"), "{:?}", fixture.events().await);
}

#[tokio::test]
async fn a_first_creation_takes_few_writes() {
    let fixture = Fixture::new("frugal").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let writes = fixture.writes();
    let refused: Vec<_> = writes.iter().filter(|write| write.code >= 400).collect();
    assert!(refused.is_empty(), "the operator was refused something: {refused:?}");
    // Every object once.
    let objects: Vec<_> =
        writes.iter().filter(|w| !w.resource.ends_with("/status")).map(|w| (&w.resource, &w.name)).collect();
    let mut distinct = objects.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(objects.len(), distinct.len(), "{objects:?}");
    let statuses = writes.iter().filter(|write| write.resource == "authservices/status").count();
    assert!(statuses <= 10, "{statuses} status writes");
}
