//! The messages of a migration that does not succeed.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use latchkey_tests::kubelet::{failed_with, set_status};
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn the_last_log_line_of_a_failed_migration_is_in_the_condition() {
    let fixture = Fixture::new("last-line").await;
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply(json!({"database": {"urlSecretRef": {"name": "database"}}})).await;
    let pods = fixture.api::<Pod>();
    let selector = ListParams::default().labels("app.kubernetes.io/component=migration");
    let pod = wait::until("the Job to have a pod", async || {
        pods.list(&selector).await.expect("pods").items.pop().ok_or("no pod")
    })
    .await;
    let container = &pod.spec.as_ref().expect("a spec").containers[0];
    // With this setting the kubelet copies the end of the log into the termination message.
    assert_eq!(container.termination_message_policy.as_deref(), Some("FallbackToLogsOnError"));
    let log = "one line\nlatchkey-server: this release cannot use the database\n";
    set_status(&pods, &pod.name_any(), &failed_with("migrate", log))
        .await
        .expect("the pod's status is written");
    let condition = fixture.wait_for_reason("SchemaMigrated", "False", "MigrationRetrying").await;
    assert!(condition.message.ends_with("this release cannot use the database"), "{}", condition.message);
}
