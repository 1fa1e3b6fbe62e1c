//! `kubectl explain` and `kubectl get`.

use latchkey_tests::control_plane::{ControlPlane, auth_service_crd};
use serde_json::{Value, json};

use crate::fixture::Fixture;

#[test]
fn every_field_has_a_description() {
    let text = std::fs::read_to_string(auth_service_crd()).expect("the CRD");
    let crd: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut undescribed = Vec::new();
    for part in ["spec", "status"] {
        collect_undescribed(&schema["properties"][part], part, &mut undescribed);
    }
    assert!(undescribed.is_empty(), "no description: {undescribed:#?}");
}

fn collect_undescribed(schema: &Value, path: &str, undescribed: &mut Vec<String>) {
    if schema["description"].as_str().is_none_or(str::is_empty) {
        undescribed.push(path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        collect_undescribed(property, &format!("{path}.{name}"), undescribed);
    }
    if let Some(items) = schema["items"]["properties"].as_object() {
        for (name, property) in items {
            collect_undescribed(property, &format!("{path}[].{name}"), undescribed);
        }
    }
}

#[tokio::test]
async fn kubectl_explains_a_field_by_its_short_name() {
    let control_plane = ControlPlane::shared().await;
    let text = control_plane.kubectl(&["explain", "authsvc.spec.tokens.accessTokenTTL"]);
    assert!(text.contains("Lifetime of access tokens"), "{text}");
}

#[tokio::test]
async fn kubectl_get_shows_readiness_replicas_and_version() {
    let fixture = Fixture::new("columns").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"image": {"tag": "1.2.3"}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let table = fixture.control_plane.kubectl(&["-n", &fixture.namespace, "get", "authsvc"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "READY", "REPLICAS", "VERSION", "AGE"]);
    assert_eq!(rows[1][..4], ["auth", "True", "1", "1.2.3"]);
    let wide = fixture.control_plane.kubectl(&["-n", &fixture.namespace, "get", "latchkey", "-o", "wide"]);
    let rows: Vec<Vec<&str>> = wide.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "READY", "REPLICAS", "VERSION", "REASON", "SCHEMA", "ENDPOINT", "AGE"]);
    assert_eq!(rows[1][4], "Available");
    let waited = ["-n", &fixture.namespace, "wait", "--for=condition=Ready", "authsvc/auth", "--timeout=1s"];
    assert!(fixture.control_plane.kubectl(&waited).contains("condition met"));
}
