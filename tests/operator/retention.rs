//! What outlives an AuthService, and Secrets from a backup.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::apply;
use serde_json::json;

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

const KEYS: &str = "auth-jwt-keys";
/// The label by which Argo CD and others track what they installed.
const INSTANCE: &str = "app.kubernetes.io/instance";

async fn secret(fixture: &Fixture, name: &str) -> Secret {
    fixture.api::<Secret>().get(name).await.expect("the Secret")
}

async fn delete(fixture: &Fixture) {
    fixture.api::<AuthService>().delete(NAME, &DeleteParams::default()).await.expect("it is deleted");
    fixture.wait_until_gone("Deployment", NAME).await;
    fixture.wait_until_gone("ConfigMap", "auth-settings").await;
}

/// Runs the command that a message ends with.
fn run_command_in(fixture: &Fixture, message: &str) {
    let (_, command) = message.split_once("kubectl ").expect("a command");
    let arguments: Vec<_> = command.split(' ').collect();
    fixture.control_plane.kubectl(&arguments);
}

/// No other tool deletes the object, and no owner either.
fn assert_protected(metadata: &ObjectMeta) {
    let labels = metadata.labels.clone().unwrap_or_default();
    assert!(!labels.contains_key(INSTANCE), "{metadata:?}");
    let annotations = metadata.annotations.clone().unwrap_or_default();
    assert_eq!(annotations["latchkey.dev/auth-service"], NAME);
    assert_eq!(annotations["argocd.argoproj.io/sync-options"], "Prune=false");
}

#[tokio::test]
async fn retained_keys_are_used_again_by_a_new_auth_service_of_the_same_name() {
    let fixture = Fixture::new("keep-keys").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    // The policy may be changed for existing keys.
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.apply(json!({"tokens": {"keyReclaim": "Retain"}})).await;
    fixture.wait_for_value("Secret", KEYS, "/metadata/ownerReferences", &json!(null)).await;
    fixture.wait_for_condition("Ready", "True").await;
    let before = secret(&fixture, KEYS).await;
    assert_protected(&before.metadata);
    let keys = fixture.auth_service().await.status.expect("a status").signing_keys;

    delete(&fixture).await;
    assert_eq!(secret(&fixture, KEYS).await.uid(), before.uid());

    fixture.apply(json!({"tokens": {"keyReclaim": "Retain"}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    // With the same private keys, every token that was issued before is still valid.
    let after = secret(&fixture, KEYS).await;
    assert_eq!(after.data, before.data);
    let kids = |keys: &[latchkey_crds::auth_service::SigningKeyStatus]| {
        keys.iter().map(|key| key.kid.clone()).collect::<Vec<_>>()
    };
    let status = fixture.auth_service().await.status.expect("a status");
    assert_eq!(kids(&status.signing_keys), kids(&keys));

    fixture.apply(json!({})).await;
    fixture.wait_for_value("Secret", KEYS, "/metadata/ownerReferences/0/name", &json!(NAME)).await;
    fixture.wait_for_condition("Ready", "True").await;
    delete(&fixture).await;
    fixture.wait_until_gone("Secret", KEYS).await;
}

#[tokio::test]
async fn retained_keys_are_not_used_without_a_word_from_the_spec_or_their_writer() {
    let fixture = Fixture::new("unclaimed-keys").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"tokens": {"keyReclaim": "Retain"}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let before = secret(&fixture, KEYS).await;
    assert!(before.owner_references().is_empty());
    assert_protected(&before.metadata);
    delete(&fixture).await;

    fixture.apply(json!({})).await;
    let conflict = fixture.wait_for_reason("Ready", "False", "NameConflict").await;
    assert_eq!(secret(&fixture, KEYS).await.resource_version(), before.resource_version());
    run_command_in(&fixture, &conflict.message);
    fixture.wait_for_condition("Ready", "True").await;
    let after = secret(&fixture, KEYS).await;
    assert_eq!(after.data, before.data);
    assert_eq!(after.owner_references().len(), 1);
}

/// Velero restores name, labels and annotations, not owner references; the restored AuthService has another uid.
#[tokio::test]
async fn secrets_from_a_backup_are_adopted_when_their_writer_says_so() {
    let fixture = Fixture::new("velero").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let spec = json!({"database": {"embedded": {"storage": "1Gi"}}});
    fixture.apply(spec.clone()).await;
    fixture.wait_for_condition("Ready", "True").await;
    let secrets = fixture.api::<Secret>();
    let names = [KEYS, "auth-postgres", "auth-redis"];
    let mut backup = secrets.list(&ListParams::default()).await.expect("the Secrets").items;
    backup.retain(|secret| names.contains(&&*secret.name_any()));
    delete(&fixture).await;
    for name in names {
        fixture.wait_until_gone("Secret", name).await;
    }
    for secret in &backup {
        let metadata = ObjectMeta {
            name: secret.metadata.name.clone(),
            labels: secret.metadata.labels.clone(),
            annotations: secret.metadata.annotations.clone(),
            ..ObjectMeta::default()
        };
        let restored = Secret { metadata, ..secret.clone() };
        secrets.create(&PostParams::default(), &restored).await.expect("the Secret is restored");
    }

    fixture.apply(spec).await;
    let conflict = fixture.wait_for_reason("Ready", "False", "NameConflict").await;
    for name in names {
        assert!(conflict.message.contains(name), "{}", conflict.message);
        assert!(secret(&fixture, name).await.owner_references().is_empty(), "{name}");
    }
    run_command_in(&fixture, &conflict.message);
    fixture.wait_for_condition("Ready", "True").await;
    for before in &backup {
        let after = secret(&fixture, &before.name_any()).await;
        assert_eq!(after.data, before.data, "{}", before.name_any());
        assert_eq!(after.owner_references()[0].uid, fixture.auth_service().await.uid().expect("a uid"));
    }
}

#[tokio::test]
async fn a_secret_of_another_owner_is_not_adopted_whatever_its_annotation_says() {
    let fixture = Fixture::new("not-given").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": fixture.namespace}});
    let uid = apply(&fixture.client, &theirs).await.uid();
    let owner =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": uid, "controller": true});
    for (annotation, owners) in [("someone", json!([])), (NAME, json!([owner]))] {
        let metadata = json!({
            "name": KEYS, "namespace": fixture.namespace, "ownerReferences": owners,
            "annotations": {"latchkey.dev/adopt": annotation},
        });
        let theirs =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"a": "b"}});
        let theirs: Secret = serde_json::from_value(theirs).expect("a Secret");
        let secrets = fixture.api::<Secret>();
        let created = secrets.create(&PostParams::default(), &theirs).await.expect("the Secret is created");
        fixture.apply(json!({})).await;
        fixture.wait_for_reason("Ready", "False", "NameConflict").await;
        fixture.touch().await;
        fixture.wait_for_reason("Ready", "False", "NameConflict").await;
        assert_eq!(secret(&fixture, KEYS).await.resource_version(), created.resource_version());
        fixture.api::<AuthService>().delete(NAME, &DeleteParams::default()).await.expect("it is deleted");
        fixture.wait_until_gone("ConfigMap", "auth-settings").await;
        secrets.delete(KEYS, &DeleteParams::default()).await.expect("the Secret is deleted");
        fixture.wait_until_gone("Secret", KEYS).await;
    }
}

#[tokio::test]
async fn a_retained_volume_is_protected_also_if_an_earlier_release_created_it() {
    let fixture = Fixture::new("protected").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply(json!({"database": {"embedded": {"storage": "1Gi", "reclaim": "Retain"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert_protected(&secret(&fixture, "auth-postgres").await.metadata);
    let claims = fixture.api::<PersistentVolumeClaim>();
    let claim =
        wait_for(claims.clone(), "data-auth-postgres-0", |claim| claim.cloned().ok_or("none".to_owned()));
    assert_protected(&claim.await.metadata);
    drop(operator);

    // As 0.1.0 created it.
    let earlier = json!({"metadata": {
        "labels": {INSTANCE: NAME},
        "annotations": {"argocd.argoproj.io/sync-options": null, "latchkey.dev/auth-service": null},
    }});
    let parameters = PatchParams::default();
    claims.patch("data-auth-postgres-0", &parameters, &Patch::Merge(earlier)).await.expect("it is changed");
    let _operator = fixture.start_operator().await;
    let label = format!("/metadata/labels/{}", INSTANCE.replace('/', "~1"));
    fixture.wait_for_value("PersistentVolumeClaim", "data-auth-postgres-0", &label, &json!(null)).await;
    assert_protected(&claims.get("data-auth-postgres-0").await.expect("the claim").metadata);
}
