//! Secrets that the spec references: missing, late, invalid, changed.

use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};

const DATABASE_URL: &str = "postgres://auth:s3cr3t-database@db.example.com:5432/auth";
const REDIS_URL: &str = "rediss://:s3cr3t-redis@redis.example.com:6380";
const MAIL_PASSWORD: &str = "s3cr3t-mail";
const ADMIN_PASSWORD: &str = "s3cr3t-admin";

fn spec() -> Value {
    json!({
        "database": {"urlSecretRef": {"name": "database"}},
        "redis": {"urlSecretRef": {"name": "redis", "key": "address"}},
        "bootstrapAdmin": {"secretRef": {"name": "admin"}},
        "email": {
            "enabled": true,
            "from": {"address": "no-reply@example.com"},
            "smtp": {"host": "smtp.example.com", "credentialsSecretRef": {"name": "smtp", "usernameKey": "user"}},
        },
    })
}

async fn create_all(fixture: &Fixture) {
    fixture.apply_secret("database", &[("url", DATABASE_URL)]).await;
    fixture.apply_secret("redis", &[("address", REDIS_URL)]).await;
    fixture.apply_secret("smtp", &[("user", "mailer"), ("password", MAIL_PASSWORD)]).await;
    let admin = [("username", "root"), ("email", "root@example.com"), ("password", ADMIN_PASSWORD)];
    fixture.apply_secret("admin", &admin).await;
}

#[tokio::test]
async fn a_missing_secret_is_reported_until_it_is_created() {
    let fixture = Fixture::new("late").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(spec()).await;
    // The Secrets are created one after the other.
    fixture.wait_for_unresolved("SecretMissing", &["database", "spec.database.urlSecretRef"]).await;
    fixture.wait_for_reason("Ready", "False", "SecretMissing").await;
    fixture.wait_for_reason("Progressing", "False", "Blocked").await;
    fixture.apply_secret("database", &[("url", DATABASE_URL)]).await;
    fixture.wait_for_unresolved("SecretMissing", &["redis", "spec.redis.urlSecretRef"]).await;
    fixture.apply_secret("redis", &[("address", REDIS_URL)]).await;
    fixture.wait_for_unresolved("SecretMissing", &["smtp", "spec.email.smtp.credentialsSecretRef"]).await;
    fixture.apply_secret("smtp", &[("user", "mailer"), ("password", MAIL_PASSWORD)]).await;
    fixture.wait_for_unresolved("SecretMissing", &["admin", "spec.bootstrapAdmin.secretRef"]).await;
    // No replacement was created, and nothing runs without them.
    let owned = fixture.owned().await;
    assert!(!owned.keys().any(|name| name.starts_with("Deployment/") || name.starts_with("StatefulSet/")));
    let admin = [("username", "root"), ("email", "root@example.com"), ("password", ADMIN_PASSWORD)];
    fixture.apply_secret("admin", &admin).await;
    fixture.wait_for_condition("SecretsResolved", "True").await;
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn an_invalid_secret_is_reported_and_the_pods_keep_running() {
    let fixture = Fixture::new("wrong").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    create_all(&fixture).await;
    fixture.apply(spec()).await;
    fixture.wait_for_condition("Ready", "True").await;
    let generation = fixture.any("Deployment").get(NAME).await.expect("the Deployment").metadata.generation;

    fixture.apply_secret("database", &[("uri", DATABASE_URL)]).await;
    fixture.wait_for_unresolved("SecretKeyMissing", &["database", "url"]).await;
    fixture.apply_secret("database", &[("url", "")]).await;
    fixture.wait_for_unresolved("SecretInvalid", &["database", "url", "empty"]).await;
    fixture.apply_secret("database", &[("url", "mysql://auth:s3cr3t-mysql@db.example.com/auth")]).await;
    fixture.wait_for_unresolved("SecretInvalid", &["database", "postgres://"]).await;
    let now = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert_eq!(now.metadata.generation, generation, "the running pods were changed");
    assert!(fixture.events().await.iter().any(|(kind, reason, note)| {
        kind == "Warning" && reason == "SecretInvalid" && note.contains("database")
    }));

    fixture.apply_secret("database", &[("url", DATABASE_URL)]).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert_no_secret_is_disclosed(&fixture, &operator.log()).await;
}

#[tokio::test]
async fn a_changed_secret_rolls_the_pods() {
    let fixture = Fixture::new("changed").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    create_all(&fixture).await;
    fixture.apply(spec()).await;
    fixture.wait_for_condition("Ready", "True").await;
    let admin = [("username", "root"), ("email", "root@example.com"), ("password", "another one")];
    let changes: [(&str, &[(&str, &str)]); 4] = [
        ("redis", &[("address", "redis://other.example.com:6379")]),
        ("smtp", &[("user", "mailer"), ("password", "another one")]),
        ("admin", &admin),
        ("database", &[("url", "postgres://auth:other@db.example.com:5432/auth")]),
    ];
    for (name, data) in changes {
        let before = fixture.checksum().await;
        fixture.apply_secret(name, data).await;
        fixture.wait_for_other_checksum(&before).await;
    }
    // The SMTP Secret is updated, and deleted when e-mail is disabled.
    let copy = fixture.api::<Secret>().get("auth-smtp").await.expect("the copy").data.expect("data");
    assert_eq!(
        (copy["username"].0.as_slice(), copy["password"].0.as_slice()),
        (&b"mailer"[..], &b"another one"[..])
    );
    fixture.merge(json!({"spec": {"email": {"enabled": false}}})).await;
    fixture.wait_until_gone("Secret", "auth-smtp").await;
    fixture.wait_for_condition("Ready", "True").await;
}

/// No secret value is in the status, an event, the log, or an object other than a Secret.
async fn assert_no_secret_is_disclosed(fixture: &Fixture, log: &str) {
    let secrets = [DATABASE_URL, REDIS_URL, MAIL_PASSWORD, ADMIN_PASSWORD, "s3cr3t"];
    let mut texts = vec![
        ("the log".to_owned(), log.to_owned()),
        ("the status".to_owned(), json!(fixture.auth_service().await).to_string()),
        ("an event".to_owned(), format!("{:?}", fixture.events().await)),
    ];
    for (name, object) in fixture.owned().await {
        if !name.starts_with("Secret/") {
            texts.push((name, json!(object).to_string()));
        }
    }
    for (place, text) in texts {
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{place} contains a secret");
    }
}
