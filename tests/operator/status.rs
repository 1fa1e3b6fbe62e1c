//! The status follows the observed state.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use latchkey_crds::{AuthService, conditions};
use latchkey_tests::kubelet::{SERVERS, set_ready};
use latchkey_tests::status_port::healthy;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

#[tokio::test]
async fn ready_follows_the_pods() {
    let fixture = Fixture::new("ready").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"replicas": 2})).await;
    fixture.wait_for_reason("Ready", "True", "Available").await;
    let status = fixture.auth_service().await.status.expect("a status");
    assert_eq!((status.replicas, status.ready_replicas), (2, 2));
    let endpoint = status.endpoint.expect("an endpoint");
    assert_eq!(endpoint, format!("http://auth.{}.svc", fixture.namespace));

    set_ready(fixture.client.clone(), &fixture.namespace, SERVERS, false).await;
    fixture.wait_for_reason("Ready", "False", "ReplicasNotReady").await;
    wait_for(fixture.api::<AuthService>(), NAME, |object| {
        let ready = object.and_then(|object| object.status.as_ref()).map(|status| status.ready_replicas);
        (ready == Some(0)).then_some(()).ok_or_else(|| format!("{ready:?} replicas are ready"))
    })
    .await;
    set_ready(fixture.client.clone(), &fixture.namespace, SERVERS, true).await;
    fixture.wait_for_reason("Ready", "True", "Available").await;
}

#[tokio::test]
async fn every_condition_has_the_current_generation() {
    let fixture = Fixture::new("generation").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    for level in ["debug", "warn"] {
        fixture.merge(json!({"spec": {"logging": {"level": level}}})).await;
        let object = wait_for(fixture.api::<AuthService>(), NAME, |object| {
            let object = object.ok_or("none")?;
            let observed = object.status.as_ref().and_then(|status| status.observed_generation);
            (observed == object.metadata.generation)
                .then(|| object.clone())
                .ok_or_else(|| format!("{observed:?}"))
        })
        .await;
        let found = object.status.expect("a status").conditions;
        let types: Vec<&str> = found.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(types, conditions::ALL);
        for condition in &found {
            assert_eq!(condition.observed_generation, object.metadata.generation, "{condition:?}");
            assert!(!condition.message.is_empty() && !condition.reason.is_empty(), "{condition:?}");
        }
    }
}

#[tokio::test]
async fn reports_of_the_replicas_are_in_the_conditions() {
    let fixture = Fixture::new("reports").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    // No replica responds yet.
    fixture.wait_for_reason("DatabaseReachable", "Unknown", "NoReplicaReports").await;
    fixture.wait_for_reason("RevocationStoreReady", "Unknown", "NoReplicaReports").await;
    fixture.wait_for_reason("KeysReady", "True", "Stored").await;
    fixture.wait_for_reason("MailReady", "False", "Disabled").await;

    let kid = fixture.auth_service().await.status.expect("a status").signing_keys[0].kid.clone();
    let kids = [kid];
    fixture.servers.answer_healthy(&kids);
    fixture.touch().await;
    fixture.wait_for_reason("DatabaseReachable", "True", "Reachable").await;
    fixture.wait_for_reason("RevocationStoreReady", "True", "Redis").await;
    fixture.wait_for_reason("KeysReady", "True", "Loaded").await;
    let status = fixture.auth_service().await.status.expect("a status");
    assert_eq!(status.version.as_deref(), Some("0.1.0"));
    assert_eq!(status.schema_version, Some(1));
    let range = status.schema_range.expect("a range of schema versions");
    assert_eq!((range.required, range.oldest_server), (1, 1));

    let mut answer = healthy(&kids);
    answer["revocation"] = json!({"mode": "postgres", "message": "Redis does not answer"});
    fixture.servers.answer(answer.clone());
    fixture.touch().await;
    fixture.wait_for_reason("RevocationStoreReady", "False", "PostgresFallback").await;
    let evicts = "Redis may evict revocations; set maxmemory-policy to noeviction";
    answer["dependencies"]["redis"] = json!({"ready": false, "message": evicts});
    fixture.servers.answer(answer);
    fixture.touch().await;
    let condition = fixture.wait_for_reason("RevocationStoreReady", "False", "RedisUnusable").await;
    assert!(condition.message.contains(evicts), "{}", condition.message);

    let mut answer = healthy(&kids);
    answer["dependencies"]["database"] = json!({"ready": false, "message": "connection refused"});
    answer["signing_keys"] = json!([]);
    fixture.servers.answer(answer);
    fixture.touch().await;
    fixture.wait_for_reason("DatabaseReachable", "False", "Unreachable").await;
    fixture.wait_for_reason("KeysReady", "False", "NotLoaded").await;

    // The database responds, but is not the primary.
    let mut answer = healthy(&kids);
    let standby = "the database is a read-only standby (in recovery): DATABASE_URL must lead to the primary";
    answer["dependencies"]["database"] = json!({"ready": false, "message": standby, "reason": "read_only"});
    fixture.servers.answer(answer);
    fixture.touch().await;
    let condition = fixture.wait_for_reason("DatabaseReachable", "False", "DatabaseReadOnly").await;
    assert!(condition.message.contains(standby), "{}", condition.message);

    // An invalid response must not crash the operator.
    fixture.servers.answer(Value::String("what?".to_owned()));
    fixture.touch().await;
    fixture.wait_for_reason("DatabaseReachable", "Unknown", "NoReplicaReports").await;
}

#[tokio::test]
async fn the_smtp_server_is_reported_if_email_is_enabled() {
    let fixture = Fixture::new("mail").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let mail = json!({
        "enabled": true,
        "from": {"address": "no-reply@example.com"},
        "smtp": {"host": "smtp.example.com"},
    });
    fixture.servers.answer_healthy(&[]);
    fixture.apply(json!({"email": mail})).await;
    fixture.wait_for_reason("MailReady", "True", "Reachable").await;
    let mut answer = healthy(&[]);
    answer["dependencies"]["mail"] = json!({"ready": false, "message": "login refused"});
    fixture.servers.answer(answer);
    fixture.touch().await;
    fixture.wait_for_reason("MailReady", "False", "Unreachable").await;
}

#[tokio::test]
async fn a_failed_migration_is_reported_and_no_pod_is_created() {
    let fixture = Fixture::new("migration").await;
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply(json!({"database": {"urlSecretRef": {"name": "database"}}})).await;
    fixture.wait_for_reason("SchemaMigrated", "False", "Migrating").await;
    let jobs = fixture.api::<Job>();
    // After the Job controller has processed it, its status can be set.
    let job = wait::until("the Job to have a pod", async || {
        let job =
            jobs.list(&ListParams::default()).await.expect("jobs").items.pop().ok_or(None::<Option<i32>>)?;
        let active = job.status.as_ref().and_then(|status| status.active);
        if active > Some(0) { Ok(job.name_any()) } else { Err(Some(active)) }
    })
    .await;
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let failed = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "tried too often",
            "lastProbeTime": now, "lastTransitionTime": now,
        })
    };
    wait::until("the Job to be marked as failed", async || {
        let status = json!({"status": {
            "active": 0, "ready": 0, "terminating": 0, "failed": 1,
            "uncountedTerminatedPods": null,
            "conditions": [failed("FailureTarget"), failed("Failed")],
        }});
        jobs.patch_status(&job, &PatchParams::default(), &Patch::Merge(status)).await.map(drop)
    })
    .await;
    let condition = fixture.wait_for_reason("SchemaMigrated", "False", "MigrationFailed").await;
    // The event contains the cause and the remedy.
    assert!(condition.message.contains("tried too often"), "{}", condition.message);
    assert!(condition.message.contains("kubectl logs"), "{}", condition.message);
    fixture.wait_for_reason("Ready", "False", "MigrationFailed").await;
    assert!(fixture.any("Deployment").get_opt(NAME).await.expect("a response").is_none());
    let events = fixture.events().await;
    assert!(
        events.iter().any(|(kind, reason, _)| kind == "Warning" && reason == "MigrationFailed"),
        "{events:?}"
    );
}
