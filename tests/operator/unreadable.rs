//! Objects that this release cannot read, such as those of a later release after a downgrade: each is reported and
//! not changed, and all others are reconciled.

use std::path::PathBuf;
use std::process::Output;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::{CONTROLLERS, Contents, ControlPlane, apply, auth_service_crd};
use latchkey_tests::operator::{Installation, Operator};
use latchkey_tests::process::temporary_folder;
use latchkey_tests::status_port::StatusPort;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::plugin::{assert_fails, plugin, printed};
use crate::plugin_bundle::unpacked;
use crate::waiting::wait_for;

const GAUGE: &str = "latchkey_operator_unreadable_objects";
/// Beyond the range of the operator's time library; the API server accepts it.
const TOO_LATE: &str = "9999-12-31T23:59:59Z";

/// The definition as in a later release: spec and status accept anything.
fn relaxed_crd(folder: &ControlPlane) -> PathBuf {
    let text = std::fs::read_to_string(auth_service_crd()).expect("the definition");
    let mut crd: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    for version in crd["spec"]["versions"].as_array_mut().expect("versions") {
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let parts = &mut version["schema"]["openAPIV3Schema"]["properties"];
        parts["spec"] = anything.clone();
        parts["status"] = anything;
    }
    let path = folder.folder().join("relaxed.yaml");
    std::fs::write(&path, crd.to_string()).expect("the relaxed definition is written");
    path
}

/// A separate control plane with the relaxed definition.
async fn fixture(namespace: &str, number: u8) -> Fixture {
    let contents = Contents { crds: &[], controllers: &[] };
    let mut control_plane = ControlPlane::start(contents).await;
    let crd = relaxed_crd(&control_plane);
    control_plane.apply_crd(&crd).await;
    control_plane.start_controllers(&CONTROLLERS);
    let control_plane: &'static ControlPlane = Box::leak(Box::new(control_plane));
    let client = control_plane.client().await;
    let metadata = json!({"name": namespace});
    apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
    let watch = format!("watchNamespace={namespace}");
    let installation = Installation::new(control_plane, namespace, &[&watch]).await;
    let servers = StatusPort::open(number).await;
    Fixture { control_plane, client, namespace: namespace.to_owned(), installation, servers }
}

fn any(fixture: &Fixture) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<AuthService>(&());
    Api::namespaced_with(fixture.client.clone(), &fixture.namespace, &resource)
}

async fn create(fixture: &Fixture, name: &str) {
    let metadata = json!({"name": name, "namespace": fixture.namespace});
    let object = json!({"apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": metadata, "spec": {}});
    apply(&fixture.client, &object).await;
}

async fn wait_until_served(fixture: &Fixture, name: &str) {
    wait_for(fixture.any("Deployment"), name, |found| found.map(drop).ok_or("no Deployment".to_owned()))
        .await;
    wait_for(any(fixture), name, |found| {
        let keys = found.and_then(|found| found.data.pointer("/status/signingKeys"));
        keys.map(drop).ok_or_else(|| "no keys in the status".to_owned())
    })
    .await;
}

/// A part of an AuthService that a later release writes, and the report of it.
struct Case {
    name: &'static str,
    change: Value,
    path: &'static str,
    /// The same part in a form that this release can read.
    repair: Value,
}

fn cases() -> Vec<Case> {
    let case = |name, change, path, repair| Case { name, change, path, repair };
    vec![
        case(
            "condition",
            json!({"status": {"conditions": [{"type": "Later", "status": {"level": 3}}]}}),
            "status.conditions",
            json!({"status": {"conditions": []}}),
        ),
        case(
            "replicas",
            json!({"status": {"readyReplicas": "hunter2"}}),
            "status.readyReplicas",
            json!({"status": {"readyReplicas": 0}}),
        ),
        case(
            "requests",
            json!({"status": {"keyRequests": {"rotate-keys": ["hunter2"]}}}),
            "status.keyRequests.rotate-keys",
            json!({"status": {"keyRequests": null}}),
        ),
        case(
            "algorithm",
            json!({"spec": {"tokens": {"algorithm": "hunter2"}}}),
            "spec.tokens.algorithm",
            json!({"spec": {"tokens": null}}),
        ),
        case(
            "paused",
            json!({"spec": {"paused": "hunter2"}}),
            "spec.paused",
            json!({"spec": {"paused": null}}),
        ),
        case(
            "list",
            json!({"spec": {"trustedProxies": {"hunter2": 1}}}),
            "spec.trustedProxies",
            json!({"spec": {"trustedProxies": null}}),
        ),
    ]
}

async fn change(fixture: &Fixture, name: &str, change: &Value) {
    let (api, parameters) = (any(fixture), PatchParams::default());
    let patch = Patch::Merge(change);
    if change.get("status").is_some() {
        api.patch_status(name, &parameters, &patch).await.expect("the API server accepts the status");
    } else {
        api.patch(name, &parameters, &patch).await.expect("the API server accepts the spec");
    }
}

/// The first key of the status in an unknown phase.
async fn escrow_key(fixture: &Fixture, name: &str) -> Value {
    let object = any(fixture).get(name).await.expect("the AuthService");
    let mut keys = object.data["status"]["signingKeys"].clone();
    keys[0]["phase"] = "escrowed".into();
    change(fixture, name, &json!({"status": {"signingKeys": keys}})).await;
    keys
}

/// What must not change while an object is unreadable: the version of the keys, and the generation of the Deployment.
async fn untouched(fixture: &Fixture, name: &str) -> (Option<String>, Option<i64>) {
    let keys = fixture.api::<Secret>().get(&format!("{name}-jwt-keys")).await.expect("the keys");
    let deployment = fixture.any("Deployment").get(name).await.expect("the Deployment");
    (keys.resource_version(), deployment.metadata.generation)
}

async fn wait_for_report(fixture: &Fixture, name: &str, path: &str) {
    let message = wait_for(any(fixture), name, |found| {
        let conditions = found.and_then(|found| found.data.pointer("/status/conditions")?.as_array());
        let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
        let ready =
            ready.filter(|ready| ready["reason"] == "UnreadableResource" && ready["status"] == "False");
        let message = ready.and_then(|ready| ready["message"].as_str().map(str::to_owned));
        message.ok_or_else(|| format!("no report in {conditions:?}"))
    })
    .await;
    assert!(message.contains(path) && !message.contains("hunter2"), "{message}");
    let object = any(fixture).get(name).await.expect("the AuthService");
    let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let is_true = |kind: &str| conditions.iter().any(|one| one["type"] == kind && one["status"] == "True");
    assert!(is_true("Stalled") && !is_true("Reconciling"), "kstatus would wait: {conditions:?}");
    assert!(message.len() <= 1024, "{message}");
    fixture.wait_for_warning("UnreadableResource", path).await;
}

async fn wait_until_recovered(fixture: &Fixture, name: &str) {
    wait_for(any(fixture), name, |found| {
        let status = found.map(|found| found.data["status"].to_string()).unwrap_or_default();
        let recovered = status.contains("\"Ready\"") && !status.contains("UnreadableResource");
        recovered.then_some(()).ok_or(status)
    })
    .await;
}

async fn wait_for_gauge(operator: &Operator, kind: &str, expected: usize) {
    let kind = format!("kind=\"{kind}\"");
    wait::until_equal("the number of unreadable objects", expected.to_string(), async || {
        operator.metric(GAUGE, &[&kind]).await.to_string()
    })
    .await;
}

fn assert_brief(operator: &Operator) {
    let log = operator.log();
    assert!(log.lines().all(|line| line.len() <= 8 * 1024), "a line is too long");
    assert!(!log.contains("a watch failed"), "{log}");
    assert!(!log.contains("hunter2"), "the log contains a value");
    let reports = log.lines().filter(|line| line.contains("cannot be read")).count();
    assert!(reports <= 20, "{reports} lines about the same objects");
}

/// `phase` is unreadable, and [`NAME`] is not.
fn assert_the_plugin_shows_the_others(fixture: &Fixture) {
    for arguments in [&["status"][..], &["status", "--all-namespaces", "-o", "json"]] {
        let output = plugin(fixture, arguments);
        assert!(printed(&output).contains(NAME), "{output:?}");
        assert_names_phase(&output);
    }
    assert_fails(&plugin(fixture, &["status", "phase"]), 1, &["phase", "status.signingKeys[0].phase"]);
    printed(&plugin(fixture, &["logs", "phase"]));
    let folder = temporary_folder("bundle");
    let archive = folder.path().join("support.tar.gz");
    let output = plugin(fixture, &["support-bundle", "-o", archive.to_str().expect("a text")]);
    assert!(output.status.success(), "{output:?}");
    let (content, names) = unpacked(&archive);
    for file in [&format!("status/{NAME}.yaml"), "objects/AuthService/phase.yaml"] {
        assert!(names.contains(file), "{names}");
    }
    assert!(content.contains("AuthService test-unreadable/phase cannot be read"), "{content}");
}

#[track_caller]
fn assert_names_phase(output: &Output) {
    let notes = String::from_utf8_lossy(&output.stderr);
    let line = notes.lines().find(|line| line.contains("AuthService test-unreadable/phase cannot be read"));
    assert!(line.is_some_and(|line| line.contains("status.signingKeys[0].phase")), "{notes}");
    assert!(!notes.contains("hunter2"), "{notes}");
}

#[tokio::test]
async fn an_unreadable_auth_service_is_reported_and_all_others_are_served() {
    let fixture = fixture("test-unreadable", 201).await;
    let _kubelet = fixture.start_kubelet();
    let mut operator = fixture.start_operator().await;
    let cases = cases();
    for name in cases.iter().map(|case| case.name).chain(["phase"]) {
        create(&fixture, name).await;
    }
    for name in cases.iter().map(|case| case.name).chain(["phase"]) {
        wait_until_served(&fixture, name).await;
    }
    operator.terminate();
    drop(operator);

    let keys = escrow_key(&fixture, "phase").await;
    // As after a crash in the middle of a rollout.
    let reconciling = json!({
        "type": "Reconciling", "status": "True", "reason": "RollingOut", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    change(&fixture, "phase", &json!({"status": {"conditions": [reconciling]}})).await;
    for case in &cases {
        change(&fixture, case.name, &case.change).await;
    }
    let mut before = Vec::new();
    for case in &cases {
        before.push(untouched(&fixture, case.name).await);
    }
    let keys_before = untouched(&fixture, "phase").await;

    let operator = fixture.start_operator().await;
    create(&fixture, NAME).await;
    wait_until_served(&fixture, NAME).await;
    wait_for_report(&fixture, "phase", "status.signingKeys[0].phase").await;
    for case in &cases {
        wait_for_report(&fixture, case.name, case.path).await;
    }
    wait_for_gauge(&operator, "AuthService", cases.len() + 1).await;
    assert_brief(&operator);
    assert_the_plugin_shows_the_others(&fixture);
    assert_eq!(untouched(&fixture, "phase").await, keys_before);
    for (case, before) in cases.iter().zip(&before) {
        assert_eq!(untouched(&fixture, case.name).await, *before, "{}", case.name);
    }
    let held = any(&fixture).get("phase").await.expect("the AuthService");
    assert_eq!(held.data["status"]["signingKeys"], keys, "the rest of the status was changed");
    let owned = fixture.api::<Secret>().get("phase-jwt-keys").await.expect("the keys");
    assert_eq!(owned.owner_references().len(), 1);

    // Each is reconciled again as soon as it is readable.
    let mut repaired = keys.clone();
    repaired[0]["phase"] = "active".into();
    change(&fixture, "phase", &json!({"status": {"signingKeys": repaired}})).await;
    wait_until_recovered(&fixture, "phase").await;
    for case in &cases {
        change(&fixture, case.name, &case.repair).await;
        wait_until_recovered(&fixture, case.name).await;
    }
    wait_for_gauge(&operator, "AuthService", 0).await;

    // The same while the operator runs.
    let keys_before = untouched(&fixture, "phase").await;
    escrow_key(&fixture, "phase").await;
    wait_for_report(&fixture, "phase", "status.signingKeys[0].phase").await;
    assert_eq!(untouched(&fixture, "phase").await, keys_before);
    fixture.control_plane.kubectl(&["delete", "deployment", "phase", "-n", &fixture.namespace]);
    create(&fixture, "another").await;
    wait_until_served(&fixture, "another").await;
    assert!(
        fixture.any("Deployment").get_opt("phase").await.expect("a response").is_none(),
        "the unreadable AuthService was reconciled"
    );

    // The same with the definition of this release, as after a downgrade of both.
    fixture.control_plane.apply_crd(&auth_service_crd()).await;
    change(&fixture, "phase", &json!({"status": {"conditions": []}})).await;
    change(&fixture, "phase", &json!({"metadata": {"annotations": {"touched": "once"}}})).await;
    wait_for_report(&fixture, "phase", "status.signingKeys[0].phase").await;
}

#[tokio::test]
async fn unreadable_metadata_of_users_objects_stops_no_auth_service() {
    let fixture = Fixture::new("odd-metadata").await;
    let _kubelet = fixture.start_kubelet();
    for kind in ["secrets", "configmaps"] {
        let managed = json!({
            "manager": "other-manager", "operation": "Update", "apiVersion": "v1", "time": TOO_LATE,
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:key": {}}},
        });
        let labels = json!({"app.kubernetes.io/managed-by": "latchkey-operator"});
        let mut object = json!({"metadata": {"name": "odd", "labels": labels}, "data": {"key": "dmFsdWU="}});
        let path = format!("/api/v1/namespaces/{}/{kind}", fixture.namespace);
        let send = async |method: &str, path: &str, object: &Value| -> Value {
            let request = http::Request::builder().method(method).uri(path);
            let request = request.header("content-type", "application/json");
            let request = request.body(object.to_string().into_bytes()).expect("a request");
            fixture.client.request(request).await.expect("the API server accepts the object")
        };
        send("POST", &path, &object).await;
        // Every client chooses the times in the managed fields of its writes.
        object["metadata"]["managedFields"] = json!([managed]);
        let stored = send("PUT", &format!("{path}/odd"), &object).await;
        assert!(stored.to_string().contains(TOO_LATE), "the API server corrected it: {stored}");
    }
    let operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    wait_until_served(&fixture, NAME).await;
    assert_brief(&operator);
}

#[tokio::test]
async fn an_unreadable_owned_object_affects_only_its_auth_service() {
    let fixture = Fixture::new("odd-deployment").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let keys = fixture.api::<Secret>().get("auth-jwt-keys").await.expect("the keys");
    let odd =
        json!({"type": "Odd", "status": "True", "lastTransitionTime": TOO_LATE, "lastUpdateTime": TOO_LATE});
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/{NAME}/status", fixture.namespace);
    let write = |conditions: Value| {
        let request =
            http::Request::patch(&path).header("content-type", "application/strategic-merge-patch+json");
        let body = json!({"status": {"conditions": conditions}}).to_string().into_bytes();
        fixture.client.request::<Value>(request.body(body).expect("a request"))
    };
    write(json!([odd])).await.expect("the API server accepts the status");
    let condition = fixture.wait_for_reason("Ready", "False", "UnreadableResource").await;
    assert!(condition.message.contains("of the Deployment auth"), "{}", condition.message);
    wait_for_gauge(&operator, "Deployment", 1).await;
    create(&fixture, "other").await;
    wait_until_served(&fixture, "other").await;
    let after = fixture.api::<Secret>().get("auth-jwt-keys").await.expect("the keys");
    assert_eq!(after.resource_version(), keys.resource_version());
    write(json!([{"type": "Odd", "$patch": "delete"}])).await.expect("the API server accepts the status");
    // Without a restart.
    fixture.wait_for_condition("Ready", "True").await;
}
