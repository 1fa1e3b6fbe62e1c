//! Deleting AuthClients: the deletion ends when no replica accepts the client any more.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::DeleteParams;
use latchkey_crds::AuthService;
use latchkey_tests::status_port::healthy;
use serde_json::json;

use crate::client_fixture::{
    apply_client, clients, load, registry, report, wait_for_client, wait_for_entry, wait_for_registry,
    wait_until_ready,
};
use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

const FINALIZER: &str = "latchkey.dev/registration";

async fn delete(fixture: &Fixture, name: &str) {
    clients(fixture).delete(name, &DeleteParams::default()).await.expect("it is deleted");
}

async fn wait_until_gone(fixture: &Fixture, name: &str) {
    wait_for(clients(fixture), name, |object| {
        object
            .is_none()
            .then_some(())
            .ok_or_else(|| format!("{:?}", object.map(|object| &object.data["status"])))
    })
    .await;
}

#[tokio::test]
async fn a_deletion_waits_for_every_replica() {
    let fixture = Fixture::new("client-deletion").await;
    let _kubelet = fixture.start_kubelet();
    let mut operator = fixture.start_operator().await;
    fixture.apply(json!({"replicas": 2})).await;
    apply_client(&fixture, "orders", json!({"clientId": "orders"})).await;
    apply_client(&fixture, "other", json!({"clientId": "other"})).await;
    wait_for_registry(&fixture, |registry| (registry.clients().len() == 2).then_some(())).await;
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;
    let object = clients(&fixture).get("orders").await.expect("the AuthClient");
    assert_eq!(object.finalizers(), [FINALIZER]);

    delete(&fixture, "orders").await;
    wait_for_registry(&fixture, |registry| (registry.clients().len() == 1).then_some(())).await;
    wait_for_client(&clients(&fixture), "orders", ("Ready", "False", "Deleting")).await;
    // Also after a restart of the operator, and while the replicas do not report.
    operator.terminate();
    let _operator = fixture.start_operator().await;
    fixture.servers.answer(json!({"broken": true, "signing_keys": 1}));
    fixture.touch().await;
    fixture.wait_for_condition("DatabaseReachable", "Unknown").await;
    assert!(clients(&fixture).get_opt("orders").await.expect("a response").is_some());
    load(&fixture).await;
    wait_until_gone(&fixture, "orders").await;
    assert!(wait_for_entry(&fixture, "other").await.credentials.len() == 1);
}

#[tokio::test]
async fn nothing_else_blocks_a_deletion() {
    let fixture = Fixture::new("client-unblocked").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    // The AuthService does not exist.
    apply_client(&fixture, "early", json!({})).await;
    wait_for_client(&clients(&fixture), "early", ("Accepted", "False", "NotAllowed")).await;
    delete(&fixture, "early").await;
    wait_until_gone(&fixture, "early").await;

    // A server that supports no clients accepts none.
    fixture.servers.answer(healthy(&[]));
    fixture.apply(json!({})).await;
    apply_client(&fixture, "orders", json!({"clientId": "orders"})).await;
    wait_for_entry(&fixture, "orders").await;
    fixture.wait_for_condition("Ready", "True").await;
    delete(&fixture, "orders").await;
    wait_until_gone(&fixture, "orders").await;
    let empty = registry(&fixture).await.expect("an empty registry remains");
    assert!(empty.clients().is_empty());

    // No replica runs.
    report(&fixture, 1);
    apply_client(&fixture, "stopped", json!({"clientId": "stopped"})).await;
    wait_for_entry(&fixture, "stopped").await;
    fixture.apply(json!({"replicas": 0})).await;
    wait_for_client(&clients(&fixture), "stopped", ("Registered", "False", "NoReplicas")).await;
    delete(&fixture, "stopped").await;
    wait_until_gone(&fixture, "stopped").await;

    // The AuthService was deleted meanwhile. The Secret is deleted with its client.
    apply_client(&fixture, "late", json!({"clientId": "late"})).await;
    wait_for_entry(&fixture, "late").await;
    fixture.api::<AuthService>().delete(NAME, &DeleteParams::default()).await.expect("it is deleted");
    wait_for_client(&clients(&fixture), "late", ("Accepted", "False", "NotAllowed")).await;
    let object = clients(&fixture).get("late").await.expect("the AuthClient");
    assert_eq!(object.finalizers(), [FINALIZER]);
    delete(&fixture, "late").await;
    wait_until_gone(&fixture, "late").await;
    wait_for(fixture.api::<Secret>(), "late-oauth", |secret| {
        secret.is_none().then_some(()).ok_or_else(|| "the Secret is still there".to_owned())
    })
    .await;
}
