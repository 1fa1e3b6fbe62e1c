//! The embedded stores, and the retention of their volume.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::ResourceExt;
use kube::api::DeleteParams;
use latchkey_crds::AuthService;
use serde_json::json;

use crate::fixture::{Fixture, NAME};

#[tokio::test]
async fn a_condition_reports_embedded_stores() {
    let fixture = Fixture::new("embedded").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_reason("EmbeddedStores", "True", "NoVolume").await;
    fixture.wait_for_warning("NoVolume", "").await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply(json!({"database": {"urlSecretRef": {"name": "database"}}})).await;
    fixture.wait_for_reason("EmbeddedStores", "True", "SingleInstance").await;
    fixture.apply_secret("redis", &[("url", "redis://cache.example.com")]).await;
    let database = json!({"urlSecretRef": {"name": "database"}});
    fixture.apply(json!({"database": database, "redis": {"urlSecretRef": {"name": "redis"}}})).await;
    fixture.wait_for_reason("EmbeddedStores", "False", "External").await;
}

#[tokio::test]
async fn a_retained_volume_is_used_again_with_its_password() {
    let fixture = Fixture::new("retain").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let spec = json!({"database": {"embedded": {"storage": "1Gi", "reclaim": "Retain"}}});
    fixture.apply(spec.clone()).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("EmbeddedStores", "True", "SingleInstance").await;
    let secrets = fixture.api::<Secret>();
    let before = secrets.get("auth-postgres").await.expect("the credentials");
    let claims = fixture.api::<PersistentVolumeClaim>();
    let claim = claims.get("data-auth-postgres-0").await.expect("the claim");

    fixture.api::<AuthService>().delete(NAME, &DeleteParams::default()).await.expect("it is deleted");
    for (kind, name) in [("StatefulSet", "auth-postgres"), ("Deployment", NAME), ("Secret", "auth-jwt-keys")]
    {
        fixture.wait_until_gone(kind, name).await;
    }
    let kept = claims.get("data-auth-postgres-0").await.expect("the claim was kept");
    assert_eq!((kept.uid(), &kept.metadata.deletion_timestamp), (claim.uid(), &None));

    fixture.apply(spec).await;
    fixture.wait_for_condition("Ready", "True").await;
    let after = secrets.get("auth-postgres").await.expect("the credentials");
    assert_eq!(after.data.expect("data")["password"], before.data.expect("data")["password"]);

    // A volume that is not retained is deleted with the AuthService.
    fixture.apply(json!({"database": {"embedded": {"storage": "1Gi"}}})).await;
    fixture.wait_for_value("Secret", "auth-postgres", "/metadata/ownerReferences/0/name", &json!(NAME)).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.api::<AuthService>().delete(NAME, &DeleteParams::default()).await.expect("it is deleted");
    fixture.wait_until_gone("Secret", "auth-postgres").await;
    fixture.wait_until_gone("PersistentVolumeClaim", "data-auth-postgres-0").await;
}

#[tokio::test]
async fn an_upgrade_to_another_major_version_of_postgres_is_held_back() {
    let fixture = Fixture::new("major").await;
    let _kubelet = fixture.start_kubelet();
    let mut operator = fixture.start_operator_with(&["--postgres-image=example.com/postgres:16.4"]).await;
    fixture.apply(json!({"database": {"embedded": {"storage": "1Gi"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    operator.terminate();

    let image = "/spec/template/spec/containers/0/image";
    let mut operator = fixture.start_operator_with(&["--postgres-image=example.com/postgres:17.1"]).await;
    let held = fixture.wait_for_reason("EmbeddedStores", "True", "PostgresImageHeld").await;
    assert!(held.message.contains("16.4") && held.message.contains("17.1"), "{}", held.message);
    fixture.wait_for_value("StatefulSet", "auth-postgres", image, &json!("example.com/postgres:16.4")).await;
    operator.terminate();

    let _operator = fixture.start_operator_with(&["--postgres-image=example.com/postgres:16.9"]).await;
    fixture.wait_for_value("StatefulSet", "auth-postgres", image, &json!("example.com/postgres:16.9")).await;
    fixture.wait_for_reason("EmbeddedStores", "True", "SingleInstance").await;
}
