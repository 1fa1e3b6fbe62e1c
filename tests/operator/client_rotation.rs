//! Rotating and revoking the secrets of AuthClients.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use latchkey_clients::Client;
use latchkey_tests::kubelet::Kubelet;
use latchkey_tests::operator::Operator;
use serde_json::{Value, json};

use crate::client_fixture::{
    annotate_client, apply_client, clients, entry, load, texts, wait_for_client, wait_for_client_event,
    wait_for_entry, wait_for_registry, wait_until_ready,
};
use crate::fixture::Fixture;
use crate::waiting::wait_for;

const SECRET: &str = "orders-oauth";

/// A registered client that every replica has loaded.
async fn ready_client(name: &str, secret: Value) -> (Fixture, Kubelet, Operator) {
    let fixture = Fixture::new(name).await;
    let kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    apply_client(&fixture, "orders", json!({"clientId": "orders", "secret": secret})).await;
    wait_for_entry(&fixture, "orders").await;
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;
    (fixture, kubelet, operator)
}

/// Waits until the client has this number of credentials.
async fn wait_for_credentials(fixture: &Fixture, count: usize) -> Client {
    wait_for_registry(fixture, |registry| {
        entry(registry, "orders").filter(|client| client.credentials.len() == count)
    })
    .await
}

async fn wait_for_other_secret(fixture: &Fixture, before: &str) -> String {
    wait_for(fixture.api::<Secret>(), SECRET, |secret| {
        let data = secret.and_then(|secret| secret.data.clone()).ok_or("no Secret")?;
        let text = String::from_utf8(data["client-secret"].0.clone()).expect("a text");
        (text != before).then_some(text).ok_or_else(|| "the secret is the same".to_owned())
    })
    .await
}

async fn wait_until_annotation_is_gone(fixture: &Fixture, name: &str) {
    let annotation = format!("latchkey.dev/{name}");
    wait_for(clients(fixture), "orders", |object| {
        let object = object.ok_or("no AuthClient")?;
        (!object.annotations().contains_key(&annotation))
            .then_some(())
            .ok_or_else(|| "it is there".to_owned())
    })
    .await;
}

#[tokio::test]
async fn a_requested_rotation_refuses_no_request() {
    let (fixture, _kubelet, _operator) = ready_client("client-rotate", json!({"overlap": "2h"})).await;
    let before = texts(&fixture, SECRET).await["client-secret"].clone();
    let first = wait_for_entry(&fixture, "orders").await.credentials[0].clone();
    annotate_client(&fixture, "orders", "rotate-secret", "1").await;

    // The replicas are to accept the new secret before an application can read it. The current one works.
    let prepared = wait_for_credentials(&fixture, 2).await;
    assert!(prepared.credentials.iter().all(|credential| credential.expires_at.is_none()));
    wait_for_client(&clients(&fixture), "orders", ("SecretReady", "True", "Rotating")).await;
    wait_until_ready(&fixture, "orders").await;
    assert_eq!(texts(&fixture, SECRET).await["client-secret"], before);

    load(&fixture).await;
    let now = wait_for_other_secret(&fixture, &before).await;
    let rotated = wait_for_registry(&fixture, |registry| {
        entry(registry, "orders").filter(|client| client.credentials[1].expires_at.is_some())
    })
    .await;
    assert_eq!((rotated.credentials.len(), rotated.credentials[1].id), (2, first.id));
    let end = rotated.credentials[1].expires_at.expect("an end").timestamp();
    let left = end - Timestamp::now().as_second();
    assert!((7000..=7200).contains(&left), "{left} seconds");
    let note = wait_for_client_event(&fixture, "orders", "Normal", "SecretRotated").await;
    assert!(!note.contains(&now), "{note}");
    wait_until_annotation_is_gone(&fixture, "rotate-secret").await;
    wait_for_client(&clients(&fixture), "orders", ("SecretReady", "True", "Generated")).await;
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;
    assert_eq!(texts(&fixture, SECRET).await["client-secret"], now, "one annotation rotates once");

    // The same value again is another request, because the annotation was removed.
    annotate_client(&fixture, "orders", "rotate-secret", "1").await;
    wait_for_credentials(&fixture, 3).await;
    load(&fixture).await;
    wait_for_other_secret(&fixture, &now).await;
    wait_until_annotation_is_gone(&fixture, "rotate-secret").await;

    // The previous ones are revoked on request, when all replicas know it.
    annotate_client(&fixture, "orders", "revoke-previous-secret", "1").await;
    wait_for_credentials(&fixture, 1).await;
    let object = clients(&fixture).get("orders").await.expect("the AuthClient");
    assert!(object.annotations().contains_key("latchkey.dev/revoke-previous-secret"));
    load(&fixture).await;
    wait_until_annotation_is_gone(&fixture, "revoke-previous-secret").await;
    wait_for_client_event(&fixture, "orders", "Normal", "PreviousSecretRevoked").await;
}

#[tokio::test]
async fn an_old_secret_is_rotated_by_itself() {
    let (fixture, _kubelet, _operator) =
        ready_client("client-interval", json!({"rotationInterval": "1h"})).await;
    let before = texts(&fixture, SECRET).await["client-secret"].clone();
    // Two hours pass.
    let then = Timestamp::now() - SignedDuration::from_hours(2);
    let annotations = json!({"latchkey.dev/rotated-at": then.to_string()});
    let change = json!({"metadata": {"annotations": annotations}});
    let api = fixture.api::<Secret>();
    api.patch(SECRET, &PatchParams::default(), &Patch::Merge(change)).await.expect("the Secret is changed");
    wait_for_credentials(&fixture, 2).await;
    load(&fixture).await;
    wait_for_other_secret(&fixture, &before).await;
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;
}

/// Also if the operator restarts in the middle: the secret that was prepared before is dropped.
#[tokio::test]
async fn a_restart_during_a_rotation_loses_no_secret() {
    let (fixture, _kubelet, mut operator) = ready_client("client-restart", json!({})).await;
    let before = texts(&fixture, SECRET).await["client-secret"].clone();
    let first = wait_for_entry(&fixture, "orders").await.credentials[0].clone();
    annotate_client(&fixture, "orders", "rotate-secret", "1").await;
    wait_for_credentials(&fixture, 2).await;
    operator.terminate();
    let _operator = fixture.start_operator().await;
    // Another one is prepared; the current one never expires before it is replaced.
    let prepared = wait_for_credentials(&fixture, 3).await;
    let current = prepared.credentials.iter().find(|credential| credential.id == first.id);
    assert_eq!(current.expect("the current one").expires_at, None);
    assert_eq!(texts(&fixture, SECRET).await["client-secret"], before);
    load(&fixture).await;
    wait_for_other_secret(&fixture, &before).await;
}
