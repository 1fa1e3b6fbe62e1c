//! Embedded and external stores.

use kube::ResourceExt;
use kube::api::ListParams;
use latchkey_tests::kubelet::{SERVERS, set_ready};
use latchkey_tests::status_port::healthy;
use serde_json::json;

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

#[tokio::test]
async fn embedded_stores_are_deleted_after_the_move_to_external_ones() {
    let fixture = Fixture::new("stores").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"database": {"embedded": {"storage": "1Gi"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let stateful_set = fixture.any("StatefulSet").get("auth-postgres").await.expect("the StatefulSet");
    let claim = &stateful_set.data["spec"]["volumeClaimTemplates"][0]["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "1Gi");
    let before = fixture.checksum().await;

    // While the Secret is missing, the service cannot move.
    fixture.apply(json!({"database": {"urlSecretRef": {"name": "database"}}})).await;
    fixture.wait_for_reason("Ready", "False", "SecretMissing").await;
    let still = fixture.any("StatefulSet").get("auth-postgres").await.expect("the StatefulSet");
    assert_eq!(still.uid(), stateful_set.uid());
    assert!(still.metadata.deletion_timestamp.is_none());

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
async fn the_credentials_of_a_database_with_a_volume_are_not_generated_again() {
    let fixture = Fixture::new("credentials").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"database": {"embedded": {"storage": "1Gi"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let secrets = fixture.any("Secret");
    let backup = secrets.get("auth-postgres").await.expect("the credentials");
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");

    secrets
        .delete("auth-postgres", &kube::api::DeleteParams::default())
        .await
        .expect("the Secret is deleted");
    let condition = fixture.wait_for_reason("Ready", "False", "CredentialsLost").await;
    assert!(condition.message.contains("auth-postgres"), "{}", condition.message);
    assert!(secrets.get_opt("auth-postgres").await.expect("a response").is_none());
    let now = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert_eq!(now.metadata.generation, deployment.metadata.generation, "the running pods were changed");

    let restored = json!({
        "apiVersion": "v1", "kind": "Secret", "data": backup.data["data"],
        "metadata": {"name": backup.name_any(), "namespace": fixture.namespace},
    });
    latchkey_tests::control_plane::apply(&fixture.client, &restored).await;
    fixture.wait_for_condition("Ready", "True").await;
    let now = secrets.get("auth-postgres").await.expect("the credentials");
    assert_eq!(now.data["data"], backup.data["data"]);
}

#[tokio::test]
async fn a_database_that_lost_its_schema_is_migrated_again() {
    let fixture = Fixture::new("lost").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let jobs = fixture.any("Job");
    let first = jobs.list(&ListParams::default()).await.expect("Jobs").items.remove(0);

    // Its pod restarted with an empty database, because it has no volume.
    let mut answer = healthy(&[]);
    answer["schema_version"] = json!(0);
    fixture.servers.answer(answer);
    set_ready(fixture.client.clone(), &fixture.namespace, SERVERS, false).await;
    wait_for(jobs, &first.name_any(), |job| {
        let again = job.is_some_and(|job| job.uid() != first.uid());
        again.then_some(()).ok_or_else(|| "the schema is not migrated again".to_owned())
    })
    .await;
    fixture.servers.answer(healthy(&[]));
    set_ready(fixture.client.clone(), &fixture.namespace, SERVERS, true).await;
    fixture.wait_for_reason("SchemaMigrated", "True", "Migrated").await;
    fixture.wait_for_condition("Ready", "True").await;
}
