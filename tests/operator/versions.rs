//! Objects of every earlier release, and one that a later release wrote in a later version of the API.

use std::fs;
use std::path::PathBuf;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use latchkey_crds::{AuthService, AuthServiceSpec, AuthServiceStatus};
use latchkey_tests::control_plane::{CONTROLLERS, Contents, ControlPlane, apply, auth_service_crd};
use latchkey_tests::operator::Installation;
use latchkey_tests::programs;
use latchkey_tests::status_port::StatusPort;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

/// The releases in the changelog, oldest first.
fn releases() -> Vec<String> {
    let changelog = fs::read_to_string(programs::workspace().join("CHANGELOG.md")).expect("the changelog");
    let headings = changelog.lines().filter_map(|line| line.strip_prefix("## "));
    let mut releases: Vec<String> = headings
        .filter_map(|heading| heading.split(' ').next())
        .filter(|version| version.starts_with(|digit: char| digit.is_ascii_digit()))
        .map(str::to_owned)
        .collect();
    releases.reverse();
    releases
}

/// An AuthService as the release wrote it, with all fields that it had.
fn written_by(release: &str) -> Value {
    let name = format!("tests/operator/fixtures/auth_service_{}.json", release.replace('.', "_"));
    let text = fs::read_to_string(programs::workspace().join(&name));
    let text =
        text.unwrap_or_else(|error| panic!("{name}: {error}; docs/development/api-versions.md explains it"));
    serde_json::from_str(&text).expect("JSON")
}

/// Every member of `part` is in `whole`, with the same value.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part)))
        }
        _ => whole == part,
    }
}

#[tokio::test]
async fn an_object_of_every_release_is_served_without_a_loss() {
    let releases = releases();
    assert_eq!(releases.first().map(String::as_str), Some("0.1.0"), "{releases:?}");
    let fixture = Fixture::new("releases").await;
    for release in releases {
        let mut object = written_by(&release);
        let name = format!("from-{}", release.replace('.', "-"));
        object["metadata"] = json!({"name": name, "namespace": fixture.namespace});
        let stored = apply(&fixture.client, &object).await;
        assert!(contains(&stored.data["spec"], &object["spec"]), "{release}: {}", stored.data["spec"]);
        let api = fixture.api::<AuthService>();
        let status = Patch::Merge(json!({"status": object["status"]}));
        api.patch_status(&name, &PatchParams::default(), &status).await.expect("the status of the release");
        // As the operator reads it.
        let read = api.get(&name).await.expect("it is readable");
        let spec: AuthServiceSpec = serde_json::from_value(object["spec"].take()).expect("the spec");
        let status: AuthServiceStatus = serde_json::from_value(object["status"].take()).expect("the status");
        assert_eq!((read.spec, read.status), (spec, Some(status)), "{release}");
    }
}

/// The definition of a later release: the version v1beta1 is stored and has more fields, and v1alpha1 is still served.
fn later_crd(control_plane: &ControlPlane) -> PathBuf {
    let text = fs::read_to_string(auth_service_crd()).expect("the definition");
    let mut crd: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    let versions = crd["spec"]["versions"].as_array_mut().expect("versions");
    let mut stored = versions[0].clone();
    stored["name"] = json!("v1beta1");
    versions[0]["storage"] = json!(false);
    versions.push(stored);
    for version in versions {
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let parts = &mut version["schema"]["openAPIV3Schema"]["properties"];
        parts["spec"] = anything.clone();
        parts["status"] = anything;
    }
    let path = control_plane.folder().join("later.yaml");
    fs::write(&path, crd.to_string()).expect("the definition is written");
    path
}

#[tokio::test]
async fn an_object_of_a_later_release_is_served_and_keeps_what_this_release_does_not_know() {
    let mut control_plane = ControlPlane::start(Contents { crds: &[], controllers: &[] }).await;
    let crd = later_crd(&control_plane);
    control_plane.apply_crd(&crd).await;
    control_plane.start_controllers(&CONTROLLERS);
    let control_plane: &'static ControlPlane = Box::leak(Box::new(control_plane));
    let client = control_plane.client().await;
    let namespace = "test-later".to_owned();
    apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).await;
    let watch = format!("watchNamespace={namespace}");
    let installation = Installation::new(control_plane, &namespace, &[&watch]).await;
    let servers = StatusPort::open(210).await;
    let fixture = Fixture { control_plane, client, namespace, installation, servers };
    let _kubelet = fixture.start_kubelet();
    fixture.servers.answer_healthy(&[]);

    let later = ApiResource::from_gvk(&GroupVersionKind::gvk("latchkey.dev", "v1beta1", "AuthService"));
    let objects: Api<DynamicObject> =
        Api::namespaced_with(fixture.client.clone(), &fixture.namespace, &later);
    let spec = json!({
        "replicas": 1,
        "passkeys": {"enabled": true, "relyingParty": "example.com"},
        "tokens": {"bindToDevice": "Always"},
        "database": {"embedded": {}, "replicas": [{"name": "one"}]},
    });
    let object = json!({
        "apiVersion": "latchkey.dev/v1beta1", "kind": "AuthService",
        "metadata": {"name": NAME, "namespace": fixture.namespace}, "spec": spec,
    });
    apply(&fixture.client, &object).await;
    let condition = json!({
        "type": "PasskeysReady", "status": "True", "reason": "Later", "message": "later",
        "lastTransitionTime": "2027-01-01T00:00:00Z",
    });
    let status = json!({"passkeys": {"registered": 7}, "conditions": [condition]});
    let written = Patch::Merge(json!({"status": status}));
    objects.patch_status(NAME, &PatchParams::default(), &written).await.expect("the status is written");

    let operator = fixture.start_operator().await;
    fixture.wait_for_condition("Ready", "True").await;
    drop(operator);
    let after = objects.get(NAME).await.expect("the object");
    assert!(contains(&after.data["spec"], &spec), "{}", after.data["spec"]);
    assert_eq!(after.data["status"]["passkeys"], status["passkeys"], "{}", after.data["status"]);
    let conditions = after.data["status"]["conditions"].as_array().expect("conditions").clone();
    assert!(conditions.contains(&condition), "{conditions:?}");
    assert_eq!(after.types.expect("a type").api_version, "latchkey.dev/v1beta1");

    // A value that this release does not know is reported; the operator changes neither it nor the objects.
    let unknown = Patch::Merge(json!({"spec": {"tokens": {"algorithm": "ML-DSA-65"}}}));
    objects.patch(NAME, &PatchParams::default(), &unknown).await.expect("the later value is written");
    let deployment =
        fixture.any("Deployment").get(NAME).await.expect("the Deployment").metadata.resource_version;
    let _operator = fixture.start_operator().await;
    wait_for(objects.clone(), NAME, |object| {
        let object = object.ok_or("there is no object")?;
        let conditions = object.data["status"]["conditions"].to_string();
        conditions.contains("UnreadableResource").then_some(()).ok_or(conditions)
    })
    .await;
    let after = objects.get(NAME).await.expect("the object");
    assert_eq!(after.data["spec"]["tokens"], json!({"bindToDevice": "Always", "algorithm": "ML-DSA-65"}));
    assert_eq!(after.data["status"]["passkeys"], status["passkeys"]);
    let now = fixture.any("Deployment").get(NAME).await.expect("the Deployment").metadata.resource_version;
    assert_eq!(now, deployment);
}
