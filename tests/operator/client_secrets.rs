//! The Secrets of AuthClients: written once, repaired, and never over a foreign object.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::client_fixture::{
    apply_client, clients, load, texts, wait_for_client, wait_for_client_event, wait_for_entry,
    wait_for_registry, wait_until_ready,
};
use crate::fixture::Fixture;
use crate::waiting::wait_for;

const SECRET: &str = "orders-oauth";
const GENERATED: (&str, &str, &str) = ("SecretReady", "True", "Generated");

async fn with_client(
    name: &str,
    spec: Value,
) -> (Fixture, latchkey_tests::kubelet::Kubelet, latchkey_tests::operator::Operator) {
    let fixture = Fixture::new(name).await;
    let kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    let mut spec = spec;
    spec["clientId"] = json!("orders");
    apply_client(&fixture, "orders", spec).await;
    (fixture, kubelet, operator)
}

async fn merge(fixture: &Fixture, change: Value) {
    let api = fixture.api::<Secret>();
    api.patch(SECRET, &PatchParams::default(), &Patch::Merge(change)).await.expect("the Secret is changed");
}

/// Waits until the Secret has this text at a JSON pointer.
async fn wait_for_text(fixture: &Fixture, pointer: &str, expected: &Value) {
    fixture.wait_for_value("Secret", SECRET, pointer, expected).await;
}

#[tokio::test]
async fn the_keys_labels_and_annotations_are_those_of_the_spec() {
    let spec = json!({"secret": {
        "name": SECRET, "labels": {"team": "shop"}, "annotations": {"note": "n"},
        "keys": {"clientId": ["ID"], "clientSecret": ["SECRET", "PASSWORD"], "issuer": [], "tokenUrl": []},
    }});
    let (fixture, _kubelet, _operator) = with_client("client-keys", spec).await;
    wait_for_client(&clients(&fixture), "orders", GENERATED).await;
    let data = texts(&fixture, SECRET).await;
    let names: BTreeSet<&str> = data.keys().map(String::as_str).collect();
    assert_eq!(names, ["ID", "PASSWORD", "SECRET"].into());
    assert_eq!(data["SECRET"], data["PASSWORD"]);
    let secret = fixture.api::<Secret>().get(SECRET).await.expect("the Secret");
    assert_eq!((&secret.labels()["team"][..], &secret.annotations()["note"][..]), ("shop", "n"));
    assert_eq!(secret.owner_references()[0].kind, "AuthClient");

    // Renamed keys replace the old ones, and keep the secret.
    apply_client(
        &fixture,
        "orders",
        json!({"clientId": "orders", "secret": {"keys": {"clientSecret": ["password"], "issuer": []}}}),
    )
    .await;
    wait_for_text(&fixture, "/data/PASSWORD", &Value::Null).await;
    let renamed = texts(&fixture, SECRET).await;
    assert_eq!(renamed["password"], data["SECRET"]);
    let names: BTreeSet<&str> = renamed.keys().map(String::as_str).collect();
    assert_eq!(names, ["client-id", "password", "token-url"].into());
    wait_for_text(&fixture, "/metadata/labels/team", &Value::Null).await;

    // The issuer follows the AuthService.
    fixture.apply(json!({"issuer": "https://auth.example.com"})).await;
    let url = base64(b"https://auth.example.com/api/v1/auth/token");
    wait_for_text(&fixture, "/data/token-url", &json!(url)).await;
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn drift_is_repaired_and_an_edited_secret_is_generated_again() {
    let (fixture, _kubelet, _operator) = with_client("client-drift", json!({})).await;
    let first = wait_for_entry(&fixture, "orders").await;
    let before = texts(&fixture, SECRET).await;
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;

    merge(&fixture, json!({"stringData": {"issuer": "https://evil.example"}})).await;
    wait_for_text(&fixture, "/data/issuer", &json!(base64(before["issuer"].as_bytes()))).await;
    merge(&fixture, json!({"metadata": {"labels": {"app.kubernetes.io/component": null}}})).await;
    wait_for_text(&fixture, "/metadata/labels/app.kubernetes.io~1component", &json!("client")).await;
    merge(&fixture, json!({"metadata": {"ownerReferences": null}})).await;
    wait_for_text(&fixture, "/metadata/ownerReferences/0/kind", &json!("AuthClient")).await;
    merge(&fixture, json!({"stringData": {"theirs": "stays"}})).await;
    assert_eq!(texts(&fixture, SECRET).await["client-secret"], before["client-secret"]);
    assert_eq!(wait_for_entry(&fixture, "orders").await, first, "no new credential");

    // An edited value is not accepted; the previous secret works during the overlap.
    let edited = "edited-edited-edited-edited-edited-edited";
    merge(&fixture, json!({"stringData": {"client-secret": edited}})).await;
    let after = wait_for_registry(&fixture, |registry| {
        let client = crate::client_fixture::entry(registry, "orders")?;
        (client.credentials.len() == 2).then_some(client)
    })
    .await;
    assert_eq!(after.credentials[1].id, first.credentials[0].id);
    assert!(after.credentials[1].expires_at.is_some() && after.credentials[0].expires_at.is_none());
    let now = texts(&fixture, SECRET).await;
    assert!(now["client-secret"] != edited && now["client-secret"] != before["client-secret"]);
    assert_eq!(now["theirs"], "stays");
    let note = wait_for_client_event(&fixture, "orders", "Warning", "SecretRegenerated").await;
    assert!(!note.contains(edited) && !note.contains(&now["client-secret"]), "{note}");

    // A deleted one is generated again, too.
    fixture.api::<Secret>().delete(SECRET, &DeleteParams::default()).await.expect("it is deleted");
    wait_for(fixture.api::<Secret>(), SECRET, |secret| {
        let data = secret.and_then(|secret| secret.data.clone()).ok_or("no Secret")?;
        let text = String::from_utf8(data["client-secret"].0.clone()).expect("a text");
        (text != now["client-secret"]).then_some(()).ok_or_else(|| "the same".to_owned())
    })
    .await;
    wait_for_registry(&fixture, |registry| {
        let client = crate::client_fixture::entry(registry, "orders")?;
        (client.credentials.len() == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_foreign_secret_is_never_written() {
    let fixture = Fixture::new("client-conflict").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply_secret(SECRET, &[("client-secret", "theirs")]).await;
    fixture.apply(json!({})).await;
    apply_client(&fixture, "orders", json!({"clientId": "orders"})).await;
    let conflict =
        wait_for_client(&clients(&fixture), "orders", ("SecretReady", "False", "NameConflict")).await;
    assert!(conflict.message.contains(SECRET), "{}", conflict.message);
    wait_for_client(&clients(&fixture), "orders", ("Ready", "False", "NameConflict")).await;
    wait_for_client_event(&fixture, "orders", "Warning", "NameConflict").await;
    assert_eq!(texts(&fixture, SECRET).await["client-secret"], "theirs");
    fixture.api::<Secret>().delete(SECRET, &DeleteParams::default()).await.expect("it is deleted");
    wait_for_client(&clients(&fixture), "orders", GENERATED).await;
    wait_for_entry(&fixture, "orders").await;
}

#[tokio::test]
async fn an_existing_secret_is_waited_for_and_followed() {
    let reference = json!({"existingSecretRef": {"name": "mine", "key": "pw", "overlap": "1h"}});
    let (fixture, _kubelet, _operator) = with_client("client-existing", reference).await;
    let api = clients(&fixture);
    let problem = |reason: &'static str| wait_for_client(&api, "orders", ("SecretReady", "False", reason));
    problem("SecretMissing").await;
    wait_for_client(&api, "orders", ("Registered", "False", "SecretNotReady")).await;
    assert!(fixture.api::<Secret>().get_opt("mine").await.expect("a response").is_none());
    fixture.apply_secret("mine", &[("other", "x")]).await;
    problem("SecretKeyMissing").await;
    fixture.apply_secret("mine", &[("pw", "too-short-to-be-a-client-secret")]).await;
    let invalid = problem("SecretInvalid").await;
    assert!(!invalid.message.contains("too-short"), "{}", invalid.message);
    fixture.apply_secret("mine", &[("pw", "long-enough-long-enough-long-enough")]).await;
    wait_for_client(&api, "orders", ("SecretReady", "True", "Found")).await;
    let first = wait_for_entry(&fixture, "orders").await;
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;

    // A new value is a rotation by the user. A missing one keeps what is registered.
    fixture.apply_secret("mine", &[("pw", "another-value-another-value-another")]).await;
    wait_for_registry(&fixture, |registry| {
        let client = crate::client_fixture::entry(registry, "orders")?;
        let previous = client.credentials.get(1)?;
        (previous.id == first.credentials[0].id && previous.expires_at.is_some()).then_some(())
    })
    .await;
    let before = wait_for_entry(&fixture, "orders").await;
    fixture.api::<Secret>().delete("mine", &DeleteParams::default()).await.expect("it is deleted");
    problem("SecretMissing").await;
    assert_eq!(wait_for_entry(&fixture, "orders").await, before);
    let names: Vec<_> =
        fixture.everything().await.into_iter().filter(|name| name.contains("oauth")).collect();
    assert!(names.is_empty(), "{names:?}");
}
