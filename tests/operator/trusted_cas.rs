//! Custom certificate authorities: missing, late, invalid, changed, deleted.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::DeleteParams;
use latchkey_tests::authority::Authority;
use latchkey_tests::control_plane::apply;
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::waiting::wait_for;

const COPY: &str = "auth-trusted-cas";

fn spec() -> Value {
    json!({
        "database": {"urlSecretRef": {"name": "database"}},
        "trustedCAs": [{"secretRef": {"name": "db-ca"}}, {"configMapRef": {"name": "corporate", "key": "roots.pem"}}],
    })
}

async fn apply_config_map(fixture: &Fixture, data: Value) {
    let metadata = json!({"name": "corporate", "namespace": fixture.namespace});
    apply(
        &fixture.client,
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}),
    )
    .await;
}

/// The bundle that is mounted into the pods.
async fn copy(fixture: &Fixture) -> String {
    let data = fixture.api::<Secret>().get(COPY).await.expect("the copy").data.expect("data");
    String::from_utf8(data["ca.crt"].0.clone()).expect("text")
}

#[tokio::test]
async fn a_missing_or_invalid_authority_is_reported_until_it_is_corrected() {
    let (database, corporate) = (Authority::new("Database"), Authority::new("Corporation"));
    let fixture = Fixture::new("late-ca").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply(spec()).await;
    fixture.wait_for_unresolved("SecretMissing", &["db-ca", "spec.trustedCAs[0]", "ca.crt"]).await;
    fixture.wait_for_reason("Ready", "False", "SecretMissing").await;
    fixture.apply_secret("db-ca", &[("tls.crt", &database.text())]).await;
    fixture.wait_for_unresolved("SecretKeyMissing", &["db-ca", "ca.crt"]).await;
    fixture.apply_secret("db-ca", &[("ca.crt", "no certificate")]).await;
    fixture.wait_for_unresolved("SecretInvalid", &["db-ca", "holds no certificate", "PEM"]).await;
    fixture.apply_secret("db-ca", &[("ca.crt", &database.text())]).await;

    fixture.wait_for_unresolved("ConfigMapMissing", &["corporate", "spec.trustedCAs[1]", "roots.pem"]).await;
    apply_config_map(&fixture, json!({"ca.crt": corporate.text()})).await;
    fixture.wait_for_unresolved("ConfigMapKeyMissing", &["corporate", "roots.pem"]).await;
    let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    apply_config_map(&fixture, json!({"roots.pem": format!("{}{key}", corporate.text())})).await;
    fixture.wait_for_unresolved("ConfigMapInvalid", &["corporate", "data other than certificates"]).await;
    // No object was created that needs the missing one.
    let owned = fixture.owned().await;
    assert!(!owned.keys().any(|name| name.starts_with("Deployment/") || name.starts_with("Job/")));
    assert!(!owned.contains_key(&format!("Secret/{COPY}")));

    apply_config_map(&fixture, json!({"roots.pem": corporate.text()})).await;
    fixture.wait_for_condition("SecretsResolved", "True").await;
    fixture.wait_for_condition("Ready", "True").await;
    assert_eq!(copy(&fixture).await, database.text() + &corporate.text());
}

#[tokio::test]
async fn authorities_reach_server_and_migration_and_a_change_rolls_the_pods() {
    let (first, second) = (Authority::new("First"), Authority::new("Second"));
    let fixture = Fixture::new("changed-ca").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply_secret("db-ca", &[("ca.crt", &first.text())]).await;
    apply_config_map(&fixture, json!({"roots.pem": first.text()})).await;
    fixture.apply(spec()).await;
    fixture.wait_for_condition("Ready", "True").await;

    let file = json!("/etc/latchkey/trusted-cas/ca.crt");
    fixture.wait_for_value("ConfigMap", "auth-settings", "/data/EXTRA_CA_FILE", &file).await;
    let owned = fixture.owned().await;
    for kind in ["Deployment/", "Job/"] {
        let (_, object) = owned.iter().find(|(name, _)| name.starts_with(kind)).expect(kind);
        let pod = object.data["spec"]["template"]["spec"].to_string();
        assert!(pod.contains(COPY) && pod.contains(r#""mountPath":"/etc/latchkey/trusted-cas""#), "{pod}");
        assert!(kind == "Deployment/" || pod.contains("EXTRA_CA_FILE"), "{pod}");
    }

    let before = fixture.checksum().await;
    apply_config_map(&fixture, json!({"roots.pem": second.text()})).await;
    let before = fixture.wait_for_other_checksum(&before).await;
    assert_eq!(copy(&fixture).await, first.text() + &second.text());
    fixture.apply_secret("db-ca", &[("ca.crt", &second.text())]).await;
    let before = fixture.wait_for_other_checksum(&before).await;
    fixture.wait_for_condition("Ready", "True").await;

    // A missing or damaged bundle does not affect running pods.
    let config_maps: Api<ConfigMap> = fixture.api();
    config_maps.delete("corporate", &DeleteParams::default()).await.expect("it is deleted");
    fixture.wait_for_unresolved("ConfigMapMissing", &["corporate"]).await;
    assert_eq!(fixture.checksum().await, before);
    assert_eq!(copy(&fixture).await, second.text().repeat(2));

    fixture.merge(json!({"spec": {"trustedCAs": null}})).await;
    fixture.wait_until_gone("Secret", COPY).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_value("ConfigMap", "auth-settings", "/data/EXTRA_CA_FILE", &Value::Null).await;
}

#[tokio::test]
async fn an_embedded_database_is_used_without_tls() {
    let fixture = Fixture::new("embedded-ca").await;
    let _operator = fixture.start_operator().await;
    apply_config_map(&fixture, json!({"roots.pem": Authority::new("Mail").text()})).await;
    fixture.apply(json!({"trustedCAs": [{"configMapRef": {"name": "corporate", "key": "roots.pem"}}]})).await;
    wait_for(fixture.api::<Secret>(), "auth-postgres", |secret| {
        let url = secret.and_then(|secret| secret.data.as_ref()).and_then(|data| data.get("url"));
        let url = String::from_utf8_lossy(&url.ok_or("no URL")?.0).into_owned();
        url.ends_with("/latchkey?sslmode=disable").then_some(()).ok_or(url)
    })
    .await;
}

#[tokio::test]
async fn a_config_map_is_read_once_per_change_while_it_is_referenced() {
    let (first, second) = (Authority::new("First"), Authority::new("Second"));
    let fixture = Fixture::new("read-ca").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let gets = || fixture.control_plane.audit.config_map_gets_by(&fixture.installation.user, "corporate");
    apply_config_map(&fixture, json!({"roots.pem": first.text()})).await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert_eq!(gets(), 0);
    let named = json!([{"configMapRef": {"name": "corporate", "key": "roots.pem"}}]);
    let before = fixture.checksum().await;
    fixture.merge(json!({"spec": {"trustedCAs": named}})).await;
    let before = fixture.wait_for_other_checksum(&before).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert_eq!(gets(), 1);
    apply_config_map(&fixture, json!({"roots.pem": second.text()})).await;
    fixture.wait_for_other_checksum(&before).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert_eq!(gets(), 2);
}
