//! One database, used by two AuthServices.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, Patch, PatchParams};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::FIELD_MANAGER;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME, condition};
use crate::waiting::wait_for;

const OTHER: &str = "second";

async fn apply_other(fixture: &Fixture, database: Value) {
    let object = json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": OTHER},
        "spec": {"database": database},
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let api = fixture.api::<AuthService>();
    api.patch(OTHER, &parameters, &Patch::Apply(object))
        .await
        .expect("the API server accepts the AuthService");
}

async fn wait_for_other(fixture: &Fixture, kind: &str, status: &str, reason: &str) -> Condition {
    wait_for(fixture.api::<AuthService>(), OTHER, |object| {
        let found = object.and_then(|object| condition(object, kind)).ok_or("no condition")?;
        (found.status == status && found.reason == reason)
            .then(|| found.clone())
            .ok_or_else(|| format!("{found:?}, not {status} {reason}"))
    })
    .await
}

#[tokio::test]
async fn a_database_in_use_is_refused_unless_the_spec_allows_it() {
    let fixture = Fixture::new("shared").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("one", &[("url", "postgres://auth:s3cr3t-one@db.example.com:5432/auth")]).await;
    // Another user, and without the port: the same database.
    fixture.apply_secret("two", &[("url", "postgres://other:s3cr3t-two@DB.example.com/auth")]).await;
    fixture.apply_secret("three", &[("url", "postgres://other:s3cr3t-two@db.example.com/third")]).await;
    fixture.apply(json!({"database": {"urlSecretRef": {"name": "one"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("DatabaseShared", "False", "Exclusive").await;

    apply_other(&fixture, json!({"urlSecretRef": {"name": "two"}})).await;
    let shared = wait_for_other(&fixture, "DatabaseShared", "True", "DatabaseShared").await;
    let ready = wait_for_other(&fixture, "Ready", "False", "DatabaseShared").await;
    for message in [&shared.message, &ready.message] {
        assert!(message.contains(&format!("{}/{NAME}", fixture.namespace)), "{message}");
        assert!(message.contains("allowShared") && !message.contains("s3cr3t"), "{message}");
    }
    assert!(!fixture.everything().await.iter().any(|name| name.starts_with("Job/second-migrate")));
    fixture.wait_for_reason("DatabaseShared", "False", "Exclusive").await;
    fixture.wait_for_condition("Ready", "True").await;

    // The second has its own database; then the first one switches to it and is blocked, although it is older.
    apply_other(&fixture, json!({"urlSecretRef": {"name": "three"}})).await;
    wait_for_other(&fixture, "Ready", "True", "Available").await;
    fixture.apply(json!({"database": {"urlSecretRef": {"name": "three"}}})).await;
    fixture.wait_for_reason("Ready", "False", "DatabaseShared").await;
    wait_for_other(&fixture, "Ready", "True", "Available").await;

    fixture.apply(json!({"database": {"urlSecretRef": {"name": "three"}, "allowShared": true}})).await;
    fixture.wait_for_reason("Ready", "True", "Available").await;
    fixture.wait_for_reason("DatabaseShared", "True", "Allowed").await;

    let api = fixture.api::<AuthService>();
    api.delete(OTHER, &DeleteParams::default()).await.expect("it is deleted");
    fixture.wait_until_gone("Deployment", OTHER).await;
    fixture.wait_for_reason("DatabaseShared", "False", "Exclusive").await;
}
