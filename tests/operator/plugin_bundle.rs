//! `kubectl latchkey support-bundle` on a real API server: no known secret occurs in it, in any form.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ListParams;
use latchkey_tests::control_plane::apply;
use latchkey_tests::process::{run_ok, temporary_folder};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::plugin::plugin;

/// Every file of an archive, as one text, with its names.
pub fn unpacked(archive: &Path) -> (String, String) {
    let tar = |options: &[&str]| run_ok(Command::new("tar").args(options).arg(archive));
    (tar(&["--extract", "--gzip", "--to-stdout", "--file"]), tar(&["--list", "--gzip", "--file"]))
}

/// The forms in which a secret may occur.
fn forms(secret: &str) -> Vec<String> {
    let percent = secret.replace('%', "%25").replace('/', "%2F").replace('@', "%40");
    let escaped = serde_json::to_string(secret).expect("JSON").trim_matches('"').to_owned();
    vec![secret.to_owned(), STANDARD.encode(secret), percent, escaped]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_known_secret_occurs_in_the_archive() {
    let fixture = Fixture::new("bundle").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let secrets = [
        "Db-pass/w@rd-1",
        "cache-passw0rd-2",
        "smtp-passw0rd-3",
        "admin \"passw0rd\" 4",
        "unrelated-5-value",
    ];
    let url = "postgres://auth:Db-pass%2Fw%40rd-1@db.example.com:5432/auth";
    fixture.apply_secret("db", &[("url", url)]).await;
    fixture
        .apply_secret("cache", &[("url", &format!("rediss://:{}@cache.example.com:6380", secrets[1]))])
        .await;
    fixture.apply_secret("mail", &[("username", "mailer-login"), ("password", secrets[2])]).await;
    fixture
        .apply_secret(
            "admin",
            &[("username", "root"), ("email", "root@example.com"), ("password", secrets[3])],
        )
        .await;
    fixture.apply_secret("unrelated", &[("value", secrets[4])]).await;
    fixture
        .apply(json!({
            "database": {"urlSecretRef": {"name": "db"}},
            "redis": {"urlSecretRef": {"name": "cache"}},
            "email": {"enabled": true, "from": {"address": "a@example.com"}, "smtp": {"host": "smtp.example.com", "credentialsSecretRef": {"name": "mail"}}},
            "bootstrapAdmin": {"secretRef": {"name": "admin"}},
            "pod": {"annotations": {"vault.example.com/token": "annotation-secret-6"}},
            "podTemplate": {"spec": {"containers": [
                {"name": "server", "env": [{"name": "OTEL_EXPORTER_OTLP_HEADERS", "value": "x-key=environment-secret-7"}]},
                {"name": "proxy", "image": "proxy:1", "command": ["proxy", "--key", "argument-secret-8"]},
            ]}},
        }))
        .await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.merge(json!({"metadata": {"annotations": {"note": "annotation-secret-9", "kubectl.kubernetes.io/last-applied-configuration": "x annotation-secret-9"}}})).await;
    // Messages of others may repeat a secret.
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "leak", "namespace": fixture.namespace},
        "involvedObject": {"kind": "Pod", "name": "auth-x", "namespace": fixture.namespace}, "type": "Warning", "reason": "Leak",
        "message": format!("cannot log in with {} and unrelated {} as x-key=environment-secret-7, Bearer other-token-10", url, secrets[4]),
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "source": {"component": "test"},
    });
    apply(&fixture.client, &event).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": fixture.namespace, "labels": {
        "app.kubernetes.io/instance": NAME, "app.kubernetes.io/managed-by": "latchkey-operator"}}, "data": {"x": "config-secret-11"}});
    apply(&fixture.client, &map).await;

    let folder = temporary_folder("bundle");
    let archive = folder.path().join("support.tar.gz");
    let path = archive.to_str().expect("a text");
    let output = plugin(&fixture, &["support-bundle", NAME, "-o", path]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::metadata(&archive).expect("the archive").permissions().mode() & 0o777, 0o600);
    let (content, names) = unpacked(&archive);

    let mut known: Vec<String> = secrets.map(str::to_owned).to_vec();
    known.extend(
        ["mailer-login", "Db-pass%2Fw%40rd-1", "other-token-10", "config-secret-11"].map(str::to_owned),
    );
    known.extend(
        ["annotation-secret-6", "environment-secret-7", "argument-secret-8", "annotation-secret-9"]
            .map(str::to_owned),
    );
    for secret in fixture.api::<Secret>().list(&ListParams::default()).await.expect("Secrets") {
        for (key, value) in secret.data.clone().unwrap_or_default() {
            let text = String::from_utf8_lossy(&value.0).into_owned();
            if key == "keys.json" {
                let keys: Value = serde_json::from_str(&text).expect("JSON");
                known.push(keys["keys"][0]["d"].as_str().expect("a private key").to_owned());
            }
            // Public names of users.
            if !["root", "latchkey", ""].contains(&text.as_str()) {
                assert!(text.len() > 3, "{}/{key}", secret.name_any());
                known.push(text);
            }
        }
    }
    assert!(known.len() > 15, "{}", known.len());
    for secret in &known {
        for form in forms(secret) {
            assert!(!content.contains(&form), "{form} of {secret} occurs:\n{}", around(&content, &form));
        }
    }
    assert_useful(&content, &names);
    let again = plugin(&fixture, &["support-bundle", NAME, "-o", path]);
    assert_eq!(again.status.code(), Some(1), "an archive is not overwritten: {again:?}");
}

fn assert_useful(content: &str, names: &str) {
    for file in [
        "README.txt",
        "versions.yaml",
        "events.yaml",
        "errors.txt",
        "status/auth.yaml",
        "objects/AuthService/auth.yaml",
        "objects/Deployment/auth.yaml",
        "objects/Secret/auth-jwt-keys.yaml",
        "objects/ConfigMap/auth-settings.yaml",
        "logs/auth-",
    ] {
        assert!(names.contains(file), "{file}: {names}");
    }
    for useful in ["Available", "smtp.example.com", "ISSUER_URL", "latchkey.dev/checksum", "replicas"] {
        assert!(content.contains(useful), "{useful}");
    }
}

fn around(content: &str, form: &str) -> String {
    let lines = content.lines().filter(|line| line.contains(form));
    lines.take(3).collect::<Vec<_>>().join("\n")
}
