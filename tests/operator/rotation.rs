//! Rotation of the signing key: with an annotation, by a new algorithm, and immediate revocation.

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use latchkey_crds::AuthService;
use latchkey_crds::auth_service::SigningKeyStatus;
use latchkey_tests::kubelet::SERVERS;
use latchkey_tests::status_port::with_keys;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

const SECRET: &str = "auth-jwt-keys";

/// The spec with the shortest cache time of verifiers.
fn spec(algorithm: &str) -> Value {
    json!({"tokens": {"algorithm": algorithm, "keyRotation": {"jwksCacheTime": "1s"}}})
}

/// The phases of the keys in the set, in order.
fn phases(set: &Value) -> Vec<&str> {
    set["keys"].as_array().expect("keys").iter().filter_map(|key| key["latchkey_phase"].as_str()).collect()
}

fn kid(set: &Value, phase: &str) -> String {
    let mut keys = set["keys"].as_array().expect("keys").iter();
    let key = keys.find(|key| key["latchkey_phase"] == phase).expect("a key in that phase");
    key["kid"].as_str().expect("a kid").to_owned()
}

/// Waits until the keys in the Secret have these phases.
async fn wait_for_phases(fixture: &Fixture, expected: &[&str]) -> Value {
    wait_for(fixture.api::<Secret>(), SECRET, |secret| {
        let data = secret.and_then(|secret| secret.data.as_ref()).ok_or("no Secret")?;
        let set: Value = serde_json::from_slice(&data["keys.json"].0).map_err(|e| e.to_string())?;
        let found = phases(&set);
        if found == expected { Ok(set.clone()) } else { Err(format!("{found:?}")) }
    })
    .await
}

/// Waits until the status reports that a key waits for something, and returns its entry.
async fn wait_for_wait(fixture: &Fixture, kid: &str, what: &str) -> SigningKeyStatus {
    wait_for(fixture.api::<AuthService>(), NAME, |object| {
        let keys = object.and_then(|o| o.status.as_ref()).map(|s| s.signing_keys.clone()).unwrap_or_default();
        let key = keys.iter().find(|key| key.kid == kid);
        let waits = key.and_then(|key| key.waits_for.as_deref()).unwrap_or_default();
        key.filter(|_| waits.contains(what)).cloned().ok_or(format!("{keys:?}"))
    })
    .await
}

/// Waits until the ConfigMap for verifiers has these keys, in their order, and nothing private.
async fn wait_for_public_keys(fixture: &Fixture, kids: &[&str]) {
    wait_for(fixture.api::<ConfigMap>(), "auth-jwks", |map| {
        let data = map.and_then(|map| map.data.as_ref()).ok_or("no ConfigMap")?;
        let set: Value = serde_json::from_str(&data["jwks.json"]).map_err(|e| e.to_string())?;
        let keys = set["keys"].as_array().expect("keys");
        assert!(keys.iter().all(|key| key["alg"].is_string() && key["d"].is_null()), "{set}");
        let found: Vec<_> = keys.iter().filter_map(|key| key["kid"].as_str()).collect();
        if found == kids { Ok(()) } else { Err(format!("{found:?}, expected {kids:?}")) }
    })
    .await;
}

async fn bring_up(fixture: &Fixture) -> Value {
    fixture.apply(spec("ES256")).await;
    let set = wait_for_phases(fixture, &["active"]).await;
    fixture.servers.answer(with_keys(&set));
    fixture.wait_for_condition("Ready", "True").await;
    fixture.touch().await;
    fixture.wait_for_reason("KeysReady", "True", "Loaded").await;
    set
}

async fn the_pod(fixture: &Fixture) -> Pod {
    let pods = fixture.api::<Pod>().list(&ListParams::default().labels(SERVERS)).await.expect("pods");
    assert_eq!(pods.items.len(), 1, "another pod was created");
    pods.items.into_iter().next().expect("a pod")
}

#[tokio::test]
async fn a_key_signs_after_all_replicas_have_loaded_it_and_is_removed_after_its_tokens_expire() {
    let fixture = Fixture::new("rotation").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    let first = bring_up(&fixture).await;
    let pod = the_pod(&fixture).await;
    wait_for_public_keys(&fixture, &[&kid(&first, "active")]).await;

    fixture.annotate("rotate-keys", "1").await;
    let both = wait_for_phases(&fixture, &["active", "published"]).await;
    let (old, new) = (kid(&both, "active"), kid(&both, "published"));
    assert_eq!(old, kid(&first, "active"));
    // Before any replica signs with it.
    wait_for_public_keys(&fixture, &[&old, &new]).await;
    let rotating = fixture.wait_for_reason("KeysReady", "True", "Rotating").await;
    assert!(rotating.message.contains(&pod.name_any()), "{}", rotating.message);
    wait_for_wait(&fixture, &new, "to load it").await;
    let annotation = wait_for(fixture.api::<Pod>(), &pod.name_any(), |pod| {
        pod.and_then(|pod| pod.annotations().get("latchkey.dev/keys").cloned()).ok_or("no annotation".into())
    })
    .await;
    // Another operator process continues from the stored state, and a lagging replica still delays the rotation.
    drop(operator);
    let _operator = fixture.start_operator().await;
    fixture.touch().await;
    wait_for_wait(&fixture, &new, "to load it").await;
    assert_eq!(wait_for_phases(&fixture, &["active", "published"]).await, both);

    fixture.servers.answer(with_keys(&both));
    let turned = wait_for_phases(&fixture, &["retiring", "active"]).await;
    assert_eq!((kid(&turned, "retiring"), kid(&turned, "active")), (old.clone(), new.clone()));
    wait_for_wait(&fixture, &old, "to stop signing with it").await;
    fixture.servers.answer(with_keys(&turned));
    wait_for_wait(&fixture, &old, "the last token that it signed to expire").await;
    wait_for_wait(&fixture, &new, "its age").await;
    fixture.wait_for_reason("KeysReady", "True", "Loaded").await;
    let now = the_pod(&fixture).await;
    assert_eq!(now.uid(), pod.uid(), "the pod was restarted");
    assert_ne!(now.annotations().get("latchkey.dev/keys"), Some(&annotation));

    // Moves the last signature two years into the past.
    let mut aged = wait_for_phases(&fixture, &["retiring", "active"]).await;
    let until = aged["keys"][0]["latchkey_notes"]["signed_until"].as_i64().expect("a time");
    aged["keys"][0]["latchkey_notes"]["signed_until"] = json!(until - 2 * 366 * 86_400);
    let change = Patch::Merge(json!({"stringData": {"keys.json": aged.to_string()}}));
    fixture.api::<Secret>().patch(SECRET, &PatchParams::default(), &change).await.expect("it is written");
    let last = wait_for_phases(&fixture, &["active"]).await;
    assert_eq!(kid(&last, "active"), new);
    wait_for_public_keys(&fixture, &[&new]).await;
    let events: Vec<_> = fixture.events().await.into_iter().map(|(kind, reason, _)| (kind, reason)).collect();
    assert!(events.contains(&("Normal".to_owned(), "Rotating".to_owned())), "{events:?}");
}

#[tokio::test]
async fn a_revoked_key_is_removed_immediately_and_once() {
    let fixture = Fixture::new("revocation").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    let first = bring_up(&fixture).await;
    fixture.annotate("revoke-keys", "stolen laptop").await;
    let kid_now = |secret: Option<&Secret>| {
        let data = secret.and_then(|secret| secret.data.as_ref()).ok_or("no Secret")?;
        let set: Value = serde_json::from_slice(&data["keys.json"].0).map_err(|e| e.to_string())?;
        let now = kid(&set, "active");
        if now == kid(&first, "active") { Err("the old key signs".to_owned()) } else { Ok(set) }
    };
    let second = wait_for(fixture.api::<Secret>(), SECRET, kid_now).await;
    assert_eq!(phases(&second), ["active"]);
    wait_for_public_keys(&fixture, &[&kid(&second, "active")]).await;
    fixture.wait_for_reason("KeysReady", "False", "NotLoaded").await;
    fixture.servers.answer(with_keys(&second));
    fixture.wait_for_reason("KeysReady", "True", "Loaded").await;
    wait_for_wait(&fixture, &kid(&second, "active"), "its age").await;

    // It was processed: neither another reconcile nor a deleted status repeats it.
    drop(operator);
    let forget =
        Patch::Merge(json!({"status": {"signingKeys": null, "keyRequests": null, "conditions": null}}));
    let api = fixture.api::<AuthService>();
    api.patch_status(NAME, &PatchParams::default(), &forget).await.expect("the status is written");
    let _operator = fixture.start_operator().await;
    let again = wait_for_wait(&fixture, &kid(&second, "active"), "its age").await;
    assert_eq!(again.kid, kid(&second, "active"));
    assert_eq!(wait_for_phases(&fixture, &["active"]).await, second);
}

#[tokio::test]
async fn a_change_of_the_algorithm_rotates_the_key() {
    let fixture = Fixture::new("other-algorithm").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    bring_up(&fixture).await;
    fixture.apply(spec("EdDSA")).await;
    let both = wait_for_phases(&fixture, &["active", "published"]).await;
    fixture.servers.answer(with_keys(&both));
    let turned = wait_for_phases(&fixture, &["retiring", "active"]).await;
    let algorithms: Vec<&Value> =
        turned["keys"].as_array().expect("keys").iter().map(|key| &key["alg"]).collect();
    assert_eq!(algorithms, ["ES256", "EdDSA"]);
}
