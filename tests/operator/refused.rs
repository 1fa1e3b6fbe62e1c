//! Objects that only the API server can find invalid: the refusal is reported, and retried with increasing delay.

use kube::Api;
use latchkey_crds::AuthService;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::{Fixture, condition as condition_of};
use crate::waiting::wait_for;

#[tokio::test]
async fn a_refused_object_is_retried_with_increasing_delay() {
    let fixture = Fixture::new("refused").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply(json!({"pod": {"labels": {"not a label's name!": "a"}}})).await;
    let condition = fixture.wait_for_reason("Ready", "False", "ApplyRefused").await;
    assert!(condition.message.contains("not a label's name!"), "{}", condition.message);
    fixture.wait_for_condition("Stalled", "True").await;
    let pauses = wait::until("four retries", async || {
        let lines: Vec<Value> =
            operator.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let pauses: Vec<String> =
            lines.iter().filter_map(|line| find(line, "again_in")).map(str::to_owned).collect();
        // A failure before the next retry is due, which a change of the spec causes here, does not prolong the delay.
        let mut delays = pauses.clone();
        delays.dedup();
        if delays.len() >= 4 { Ok((pauses, delays)) } else { Err(pauses) }
    })
    .await;
    let (pauses, delays) = pauses;
    assert_eq!(delays[..4], ["500ms", "1s", "2s", "4s"]);
    let refused = fixture.writes().iter().filter(|write| write.code >= 400).count();
    assert!(refused <= 3 * pauses.len(), "{refused} refused writes in {} retries", pauses.len());
    // It recovers as soon as possible.
    fixture.apply(json!({"pod": {"labels": {"team": "a"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;
}

/// No server runs without its NetworkPolicy.
#[tokio::test]
async fn no_server_starts_without_its_network_policy() {
    let fixture = Fixture::new("unprotected").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    let spec = |operator: &str| {
        let selector = json!({"matchExpressions": [{"key": "team", "operator": operator}]});
        json!({
            "database": {"urlSecretRef": {"name": "database"}},
            "networkPolicy": {"enabled": true, "allowFrom": [{"namespaceSelector": selector}]},
        })
    };
    fixture.apply(spec("In")).await;
    let condition = fixture.wait_for_reason("Ready", "False", "ApplyRefused").await;
    assert!(condition.message.contains("NetworkPolicy auth"), "{}", condition.message);
    let there = fixture.everything().await;
    assert!(!there.iter().any(|name| name.starts_with("Deployment/")), "{there:?}");
    fixture.apply(spec("Exists")).await;
    fixture.wait_for_condition("Ready", "True").await;
}

/// The reason why controllers cannot create pods (a quota, admission, a missing class) is in no pod status.
#[tokio::test]
async fn pods_that_cannot_be_created_are_reported() {
    let fixture = Fixture::new("no-pods").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    let spec = |class: Value| json!({"database": {"urlSecretRef": {"name": "database"}}, "pod": {"priorityClassName": class}});
    fixture.apply(spec(json!("nowhere"))).await;
    let condition = fixture.wait_for_reason("SchemaMigrated", "False", "MigrationWaiting").await;
    assert!(condition.message.contains("kubectl describe job auth-migrate-"), "{}", condition.message);
    fixture.apply(spec(Value::Null)).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.apply(spec(json!("nowhere"))).await;
    wait_for(fixture.api::<AuthService>(), "auth", |object| {
        let ready = object.and_then(|object| condition_of(object, "Ready")).ok_or("no condition")?;
        let found = ready.status == "False" && ready.message.contains("no PriorityClass with name nowhere");
        found.then_some(()).ok_or_else(|| format!("{ready:?}"))
    })
    .await;
}

/// References with the longest names that Kubernetes allows.
#[tokio::test]
async fn references_with_the_longest_names_are_reported() {
    let fixture = Fixture::new("long-names").await;
    let _operator = fixture.start_operator().await;
    let name = "a".repeat(253);
    fixture.apply(json!({"database": {"urlSecretRef": {"name": name, "key": name}}})).await;
    let condition = fixture.wait_for_reason("SecretsResolved", "False", "SecretMissing").await;
    assert!(condition.message.contains(&name), "{}", condition.message);
    fixture.wait_for_warning("SecretMissing", "").await;
    fixture.apply_secret(&name, &[(&name, "postgres://auth:x@db.example.com/auth")]).await;
    fixture.wait_for_condition("SecretsResolved", "True").await;
}

fn find<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    let members = value.as_object()?;
    members.get(name).and_then(Value::as_str).or_else(|| members.values().find_map(|value| find(value, name)))
}

#[tokio::test]
async fn a_config_map_with_templates_is_waited_for_and_its_changes_are_applied() {
    let fixture = Fixture::new("texts").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let email = json!({
        "enabled": true, "from": {"address": "a@example.com"}, "smtp": {"host": "mx.example.com"},
        "templatesConfigMapRef": {"name": "texts"},
    });
    fixture.apply(json!({"email": email})).await;
    let condition = fixture.wait_for_reason("Ready", "False", "ConfigMapMissing").await;
    assert!(condition.message.contains("create it, or remove the reference"), "{}", condition.message);
    let text = |text: &str| {
        let metadata = json!({"name": "texts", "namespace": fixture.namespace});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"layout.html": text}})
    };
    latchkey_tests::control_plane::apply(&fixture.client, &text("a")).await;
    fixture.wait_for_condition("Ready", "True").await;
    let folder = json!("/etc/latchkey/mail");
    fixture.wait_for_value("ConfigMap", "auth-settings", "/data/MAIL_TEMPLATES_DIR", &folder).await;
    let volumes = fixture.any("Deployment").get("auth").await.expect("the Deployment").data;
    let volumes = volumes["spec"]["template"]["spec"]["volumes"].to_string();
    assert!(volumes.contains(r#""name":"texts""#), "{volumes}");
    let before = fixture.checksum().await;
    latchkey_tests::control_plane::apply(&fixture.client, &text("b")).await;
    fixture.wait_for_other_checksum(&before).await;
}

/// Unknown fields are not stored, and the client is warned.
#[tokio::test]
async fn unknown_fields_are_pruned_with_a_warning() {
    let fixture = Fixture::new("unknown").await;
    let path = format!(
        "/apis/latchkey.dev/v1alpha1/namespaces/{}/authservices?fieldValidation=Warn",
        fixture.namespace
    );
    let object = json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": "auth"},
        "spec": {"replica": 2, "tokens": {"ttl": "1h"}},
    });
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(kube::client::Body::from(object.to_string().into_bytes()))
        .expect("a request");
    let answer = fixture.client.send(request).await.expect("a response");
    assert_eq!(answer.status(), 201);
    let warnings: Vec<&str> =
        answer.headers().get_all("warning").iter().filter_map(|value| value.to_str().ok()).collect();
    for field in ["spec.replica", "spec.tokens.ttl"] {
        assert!(
            warnings.iter().any(|warning| warning.contains(&format!("unknown field \\\"{field}\\\""))),
            "{warnings:?}"
        );
    }
    let api: Api<AuthService> = fixture.api();
    let stored = serde_json::to_value(api.get("auth").await.expect("it is there")).expect("JSON");
    assert!(stored["spec"].get("replica").is_none());
}
