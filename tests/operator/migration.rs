//! The migration: the messages of one that does not succeed, Jobs that are deleted, and containers that do not exit.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use latchkey_tests::kubelet::{exited_beside_a_proxy, failed_with, set_status};
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::Fixture;

/// The pod of the migration Job, when it exists.
async fn migration_pod(fixture: &Fixture) -> Pod {
    let selector = ListParams::default().labels("app.kubernetes.io/component=migration");
    wait::until("the Job to have a pod", async || {
        fixture.api::<Pod>().list(&selector).await.expect("pods").items.pop().ok_or("no pod")
    })
    .await
}

#[tokio::test]
async fn the_last_log_line_of_a_failed_migration_is_in_the_condition() {
    let fixture = Fixture::new("last-line").await;
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply(json!({"database": {"urlSecretRef": {"name": "database"}}})).await;
    let pods = fixture.api::<Pod>();
    let pod = migration_pod(&fixture).await;
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

#[tokio::test]
async fn the_attempt_and_the_deadline_of_a_migration_are_in_the_condition() {
    let fixture = Fixture::new("attempts").await;
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    let migration = json!({"backoffLimit": 2, "deadline": "1h"});
    fixture.apply(json!({"database": {"urlSecretRef": {"name": "database"}}, "migration": migration})).await;
    let wait_for_words = async |words: &[&str]| {
        wait::until("the attempt", async || {
            let conditions = fixture.auth_service().await.status.unwrap_or_default().conditions;
            let found = conditions.into_iter().find(|found| found.type_ == "SchemaMigrated");
            let found = found.ok_or_else(|| "no condition".to_owned())?;
            let fits = words.iter().all(|word| found.message.contains(word));
            fits.then_some(()).ok_or(found.message)
        })
        .await;
    };
    wait_for_words(&["attempt 1 of 3, until 20", "kubectl logs job/auth-migrate-"]).await;
    let pod = migration_pod(&fixture).await;
    let log = "latchkey-server: the database does not answer\n";
    set_status(&fixture.api(), &pod.name_any(), &failed_with("migrate", log)).await.expect("it is written");
    wait_for_words(&["attempt 2 of 3, until 20", "the database does not answer"]).await;
}

/// Policies delete completed Jobs after a time to live.
#[tokio::test]
async fn a_completed_job_that_is_deleted_leaves_the_service_ready() {
    let fixture = Fixture::new("deleted-job").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    let ready = fixture.wait_for_condition("Ready", "True").await;
    let jobs = fixture.api::<Job>();
    let job = jobs.list(&ListParams::default()).await.expect("Jobs").items.pop().expect("the migration Job");
    jobs.delete(&job.name_any(), &DeleteParams::background()).await.expect("it is deleted");
    fixture.wait_until_gone("Job", &job.name_any()).await;
    // A change of the spec that needs no rollout shows that the operator has reconciled since.
    fixture.merge(json!({"spec": {"networkPolicy": {"enabled": false}}})).await;
    let still_ready = fixture.wait_for_condition("Ready", "True").await;
    assert_eq!(still_ready.last_transition_time, ready.last_transition_time);
    assert!(jobs.list(&ListParams::default()).await.expect("Jobs").items.is_empty());

    // Another image is migrated to.
    fixture.merge(json!({"spec": {"image": {"tag": "other"}}})).await;
    wait::until("the Job for the other image", async || {
        let found = jobs.list(&ListParams::default()).await.expect("Jobs").items;
        wait::check(found.iter().any(|other| other.name_any() != job.name_any()), found.len())
    })
    .await;
}

/// A service mesh that injects a proxy as an ordinary container: the Job never completes.
#[tokio::test]
async fn a_proxy_that_does_not_exit_does_not_hold_the_migration_up() {
    let fixture = Fixture::new("proxy").await;
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply_secret("redis", &[("url", "redis://:x@redis.example.com")]).await;
    let labels = json!({"example.com/inject": "true"});
    let spec = json!({
        "database": {"urlSecretRef": {"name": "database"}}, "redis": {"urlSecretRef": {"name": "redis"}},
        "migration": {
            "labels": labels, "annotations": labels, "deadline": "6h", "backoffLimit": 2,
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        },
    });
    fixture.apply(spec).await;
    let pod = migration_pod(&fixture).await;
    assert_eq!(pod.labels()["example.com/inject"], "true");
    assert_eq!(pod.annotations()["example.com/inject"], "true");
    let job =
        fixture.api::<Job>().list(&ListParams::default()).await.expect("Jobs").items.pop().expect("the Job");
    let job_spec = job.spec.clone().expect("a spec");
    assert_eq!((job_spec.active_deadline_seconds, job_spec.backoff_limit), (Some(6 * 3600), Some(2)));
    let resources = job_spec.template.spec.expect("a spec").containers[0].resources.clone();
    assert_eq!(json!(resources), json!({"limits": {"cpu": "1", "memory": "1Gi"}}));

    let pods = fixture.api::<Pod>();
    set_status(&pods, &pod.name_any(), &exited_beside_a_proxy("migrate"))
        .await
        .expect("the pod's status is written");
    fixture.wait_for_condition("SchemaMigrated", "True").await;
    // It would end the pod at its deadline and report a failure.
    fixture.wait_until_gone("Job", &job.name_any()).await;
    let _kubelet = fixture.start_kubelet();
    fixture.wait_for_condition("Ready", "True").await;
}
