//! The signing keys: generated once, and never silently again.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use latchkey_crds::AuthService;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

const SECRET: &str = "auth-jwt-keys";

fn key_set(secret: &Secret) -> Value {
    let data = secret.data.as_ref().expect("data");
    serde_json::from_slice(&data["keys.json"].0).expect("a key set in JSON")
}

#[tokio::test]
async fn keys_are_generated_for_the_algorithm_of_the_spec() {
    let fixture = Fixture::new("algorithms").await;
    let _operator = fixture.start_operator().await;
    for (algorithm, members) in [
        ("ES256", vec!["crv", "d", "x", "y"]),
        ("EdDSA", vec!["crv", "d", "x"]),
        ("RS256", vec!["d", "dp", "dq", "e", "n", "p", "q", "qi"]),
    ] {
        fixture.apply(json!({"tokens": {"algorithm": algorithm}})).await;
        let set = wait_for(fixture.api::<Secret>(), SECRET, |s| s.map(key_set).ok_or("none".into())).await;
        let [key] = set["keys"].as_array().expect("keys").as_slice() else { panic!("one key") };
        assert_eq!(key["alg"], algorithm);
        assert_eq!(key["use"], "sig");
        assert_eq!(key["latchkey_phase"], "active");
        assert!(key["kid"].as_str().is_some_and(|kid| kid.len() >= 16));
        assert!(members.iter().all(|member| key[member].is_string()), "{algorithm} has {members:?}");
        let status = wait_for(fixture.api::<AuthService>(), NAME, |object| {
            let status = object.and_then(|o| o.status.clone()).ok_or("no status")?;
            (status.signing_keys.len() == 1)
                .then_some(status)
                .ok_or_else(|| "no key in the status".to_owned())
        })
        .await;
        assert_eq!(json!(status.signing_keys[0].kid), key["kid"]);

        fixture.api::<AuthService>().delete(NAME, &DeleteParams::default()).await.expect("it is deleted");
        fixture.wait_until_gone("Secret", SECRET).await;
    }
}

#[tokio::test]
async fn a_deleted_key_set_is_reported_and_used_again_when_it_is_restored() {
    let fixture = Fixture::new("lost-keys").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let secrets = fixture.api::<Secret>();
    let backup = secrets.get(SECRET).await.expect("the keys");
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");

    secrets.delete(SECRET, &DeleteParams::default()).await.expect("the keys are deleted");
    let condition = fixture.wait_for_reason("KeysReady", "False", "KeyMaterialLost").await;
    assert!(condition.message.contains(SECRET), "{}", condition.message);
    fixture.wait_for_reason("Ready", "False", "KeyMaterialLost").await;
    // A change of the spec generates no new keys and does not roll the pods.
    fixture.merge(json!({"spec": {"logging": {"level": "debug"}}})).await;
    fixture.wait_for_reason("KeysReady", "False", "KeyMaterialLost").await;
    assert!(secrets.get_opt(SECRET).await.expect("a response").is_none());
    let now = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert_eq!(now.metadata.generation, deployment.metadata.generation);
    assert!(
        fixture
            .events()
            .await
            .iter()
            .any(|(kind, reason, _)| kind == "Warning" && reason == "KeyMaterialLost")
    );

    let mut restored = Secret { data: backup.data.clone(), ..Secret::default() };
    restored.metadata.name = Some(SECRET.to_owned());
    secrets.create(&PostParams::default(), &restored).await.expect("it is restored");
    fixture.wait_for_condition("KeysReady", "True").await;
    fixture.wait_for_condition("Ready", "True").await;
    let now = secrets.get(SECRET).await.expect("the keys");
    assert_eq!(key_set(&now), key_set(&backup), "the keys differ");
}

#[tokio::test]
async fn a_damaged_key_set_is_not_overwritten() {
    let fixture = Fixture::new("damaged-keys").await;
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("KeysReady", "True").await;
    let secrets = fixture.api::<Secret>();
    let damage = Patch::Merge(json!({"stringData": {"keys.json": "{\"keys\": []}"}}));
    secrets.patch(SECRET, &PatchParams::default(), &damage).await.expect("the key set is damaged");
    fixture.wait_for_reason("KeysReady", "False", "KeyMaterialLost").await;
    let now = secrets.get(SECRET).await.expect("the keys");
    assert_eq!(now.data.expect("data")["keys.json"].0, b"{\"keys\": []}");
}

#[tokio::test]
async fn lost_keys_are_replaced_only_on_request() {
    let fixture = Fixture::new("new-keys").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let secrets = fixture.api::<Secret>();
    let before = secrets.get(SECRET).await.expect("the keys");
    secrets.delete(SECRET, &DeleteParams::default()).await.expect("the keys are deleted");
    fixture.wait_for_reason("KeysReady", "False", "KeyMaterialLost").await;

    fixture.annotate("replace-lost-keys", "1").await;
    let now = wait_for(secrets.clone(), SECRET, |secret| secret.cloned().ok_or("none".into())).await;
    assert_ne!(now.uid(), before.uid());
    assert_ne!(key_set(&now), key_set(&before));
    fixture.wait_for_condition("Ready", "True").await;

    // The same value does not replace other keys, even if the status was deleted.
    secrets.delete(SECRET, &DeleteParams::default()).await.expect("the keys are deleted again");
    fixture.wait_for_reason("KeysReady", "False", "KeyMaterialLost").await;
    fixture.merge(json!({"spec": {"logging": {"level": "debug"}}})).await;
    fixture.wait_for_reason("KeysReady", "False", "KeyMaterialLost").await;
    assert!(secrets.get_opt(SECRET).await.expect("a response").is_none());
}

#[tokio::test]
async fn deleted_keys_are_not_replaced_after_the_status_is_deleted() {
    let fixture = Fixture::new("wiped-status").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    drop(operator);
    let secrets = fixture.api::<Secret>();
    secrets.delete(SECRET, &DeleteParams::default()).await.expect("the keys are deleted");
    let forget = Patch::Merge(json!({"status": {"signingKeys": null, "conditions": null}}));
    let api = fixture.api::<AuthService>();
    api.patch_status(NAME, &PatchParams::default(), &forget).await.expect("the status is written");
    let _operator = fixture.start_operator().await;
    fixture.wait_for_reason("KeysReady", "False", "KeyMaterialLost").await;
    assert!(secrets.get_opt(SECRET).await.expect("a response").is_none());
}
