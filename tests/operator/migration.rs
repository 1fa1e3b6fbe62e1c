//! The messages of a migration that does not succeed.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn its_last_line_is_in_the_condition() {
    let fixture = Fixture::new("last-line").await;
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply(json!({"database": {"urlSecretRef": {"name": "database"}}})).await;
    let pods = fixture.api::<Pod>();
    let selector = ListParams::default().labels("app.kubernetes.io/component=migration");
    let pod = wait::until("the Job to have a pod", async || {
        pods.list(&selector).await.expect("pods").items.into_iter().next()
    })
    .await;
    let container = &pod.spec.as_ref().expect("a spec").containers[0];
    // With this setting the kubelet copies the end of the log into the termination message.
    assert_eq!(container.termination_message_policy.as_deref(), Some("FallbackToLogsOnError"));
    let log = "one line\nlatchkey-server: this release cannot use the database\n";
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let terminated =
        json!({"exitCode": 1, "reason": "Error", "message": log, "startedAt": now, "finishedAt": now});
    let status = json!({"status": {"phase": "Failed", "containerStatuses": [{
        "name": "migrate", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
        "state": {"terminated": terminated},
    }]}});
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("the pod's status is written");
    let condition = fixture.wait_for_reason("SchemaMigrated", "False", "MigrationRetrying").await;
    assert!(condition.message.ends_with("this release cannot use the database"), "{}", condition.message);
}
