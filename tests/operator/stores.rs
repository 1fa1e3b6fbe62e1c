//! Embedded and external stores.

use kube::ResourceExt;
use serde_json::json;

use crate::fixture::{Fixture, NAME};

#[tokio::test]
async fn moving_to_external_stores_takes_the_embedded_ones_away() {
    let fixture = Fixture::new("stores").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"database": {"embedded": {"storage": "1Gi"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let stateful_set = fixture.any("StatefulSet").get("auth-postgres").await.expect("the StatefulSet");
    let claim = &stateful_set.data["spec"]["volumeClaimTemplates"][0]["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "1Gi");
    let before = fixture.checksum().await;

    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply(json!({"database": {"urlSecretRef": {"name": "database"}}})).await;
    for kind in ["StatefulSet", "Service", "Secret"] {
        fixture.wait_until_gone(kind, "auth-postgres").await;
    }
    fixture.wait_for_other_checksum(&before).await;
    fixture.wait_for_condition("Ready", "True").await;

    fixture.apply_secret("redis", &[("url", "redis://redis.example.com:6379")]).await;
    fixture.merge(json!({"spec": {"redis": {"urlSecretRef": {"name": "redis"}}}})).await;
    for kind in ["StatefulSet", "Service", "Secret"] {
        fixture.wait_until_gone(kind, "auth-redis").await;
    }
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn the_credentials_of_a_database_with_a_volume_are_never_made_anew() {
    let fixture = Fixture::new("credentials").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"database": {"embedded": {"storage": "1Gi"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let secrets = fixture.any("Secret");
    let backup = secrets.get("auth-postgres").await.expect("the credentials");
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");

    secrets.delete("auth-postgres", &kube::api::DeleteParams::default()).await.expect("somebody deletes it");
    let condition = fixture.wait_for_reason("Ready", "False", "CredentialsLost").await;
    assert!(condition.message.contains("auth-postgres"), "{}", condition.message);
    assert!(secrets.get_opt("auth-postgres").await.expect("an answer").is_none());
    let now = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert_eq!(now.metadata.generation, deployment.metadata.generation, "the pods that run were left alone");

    let restored = json!({
        "apiVersion": "v1", "kind": "Secret", "data": backup.data["data"],
        "metadata": {"name": backup.name_any(), "namespace": fixture.namespace},
    });
    latchkey_tests::control_plane::apply(&fixture.client, &restored).await;
    fixture.wait_for_condition("Ready", "True").await;
    let now = secrets.get("auth-postgres").await.expect("the credentials");
    assert_eq!(now.data["data"], backup.data["data"]);
}
