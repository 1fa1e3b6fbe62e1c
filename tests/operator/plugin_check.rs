//! `kubectl latchkey check` on a real API server: each fault is found before the AuthService is applied, and nothing is
//! changed.

use std::fs;
use std::path::PathBuf;

use latchkey_tests::control_plane::{apply, auth_service_crd};
use latchkey_tests::process::temporary_folder;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::plugin::{plugin, set_quota};

/// The findings about a spec, as area, subject, outcome and message.
fn check(fixture: &Fixture, spec: &Value) -> (Vec<[String; 4]>, i32) {
    let folder = temporary_folder("check");
    let file: PathBuf = folder.path().join("auth.yaml");
    let manifest = json!({"apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": NAME}, "spec": spec});
    fs::write(&file, manifest.to_string()).expect("written");
    let output = plugin(fixture, &["check", "-o", "json", "-f", file.to_str().expect("a text")]);
    let list: Vec<Value> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let findings =
        list.iter().map(|one| ["area", "subject", "outcome", "message"].map(|name| text(&one[name])));
    (findings.collect(), output.status.code().expect("an exit status"))
}

#[track_caller]
fn assert_found(fixture: &Fixture, spec: &Value, area: &str, outcome: &str, words: &[&str]) {
    let (findings, code) = check(fixture, spec);
    let found = findings.iter().any(|[its_area, subject, its_outcome, message]| {
        let text = format!("{subject} {message}");
        its_area == area && its_outcome == outcome && words.iter().all(|word| text.contains(word))
    });
    assert!(found, "{outcome} {area} {words:?}: {findings:#?}");
    if outcome == "failed" {
        assert_eq!(code, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_works_has_no_failed_check_and_nothing_is_changed() {
    let fixture = Fixture::new("check-passes").await;
    let before = fixture.everything().await;
    let (findings, code) = check(&fixture, &json!({}));
    let failed: Vec<_> = findings.iter().filter(|finding| finding[2] == "failed").collect();
    assert!(failed.is_empty() && code == 0, "{failed:?}");
    for area in ["fields", "permissions", "operator", "names", "pods", "quotas"] {
        assert!(findings.iter().any(|finding| finding[0] == area), "{area}: {findings:?}");
    }
    assert_eq!(fixture.everything().await, before);
    assert!(plugin(&fixture, &["status"]).stdout.starts_with(b"There is no AuthService"));
    fixture.apply(json!({})).await;
    let output = plugin(&fixture, &["check", NAME]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("0 failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_spec_and_its_references_are_found() {
    let fixture = Fixture::new("check-spec").await;
    fixture
        .apply_secret(
            "db",
            &[("uri", "postgres://u:hunter2-hunter2@nowhere-at-all:5432/auth"), ("empty", "")],
        )
        .await;
    fixture.apply_secret("wrong", &[("url", "mysql://u:hunter2-hunter2@db/auth")]).await;
    let database = |name: &str, key: &str| json!({"database": {"urlSecretRef": {"name": name, "key": key}}});
    for (spec, area, words) in [
        (json!({"issuer": "nonsense"}), "fields", &["spec.issuer must be"][..]),
        (json!({"nonsense": 1}), "fields", &["nonsense"]),
        (
            database("missing", "url"),
            "references",
            &["Secret missing", "does not exist", "spec.database.urlSecretRef"],
        ),
        (database("db", "url"), "references", &["Secret db", "needs the key url", "uri"]),
        (database("db", "empty"), "references", &["needs the key empty, which is missing or empty"]),
        (database("wrong", "url"), "stores", &["PostgreSQL", "is refused"]),
        (
            json!({"trustedCAs": [{"configMapRef": {"name": "roots"}}]}),
            "references",
            &["ConfigMap roots", "does not exist"],
        ),
        (
            json!({"pod": {"priorityClassName": "nope"}}),
            "kinds",
            &["PriorityClass nope", "there are", "system-cluster-critical"],
        ),
        (
            json!({"issuer": "https://a.example", "exposure": {"ingress": {"host": "a.example", "className": "nope"}}}),
            "kinds",
            &["IngressClass nope"],
        ),
        (
            json!({"autoscaling": {"maxReplicas": 3}, "pod": {"resources": {"requests": {"cpu": "1"}}}}),
            "kinds",
            &["PodMetrics", "not installed"],
        ),
        (json!({"database": {"embedded": {"storage": "1Gi"}}}), "kinds", &["StorageClass"]),
        (
            json!({"pod": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}}),
            "pods",
            &["must be less than or equal to cpu limit"],
        ),
    ] {
        assert_found(&fixture, &spec, area, "failed", words);
    }
    let other = |name: &str, image: &str| json!({"podTemplate": {"spec": {"containers": [{"name": name, "image": image}]}}});
    assert_found(&fixture, &other("Not valid", "x"), "pods", "failed", &["Not valid"]);
    assert_found(
        &fixture,
        &other("proxy", "proxy:1"),
        "pods",
        "passed",
        &["(server)", "admission accepts it"],
    );
    let wrong = json!({"podTemplate": {"spec": {"volumes": 1}}});
    assert_found(&fixture, &wrong, "pods", "failed", &["spec.podTemplate is not a pod template"]);
    // What the operator would refuse.
    for (template, field) in [
        (json!({"spec": {"hostNetwork": true}}), "spec.podTemplate.spec.hostNetwork"),
        (
            json!({"spec": {"containers": [{"name": "server", "command": ["sh"]}]}}),
            "spec.podTemplate.spec.containers[0].command",
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "a", "image": "a:1"}]}}),
            "spec.podTemplate.spec.containers[1]",
        ),
    ] {
        assert_found(&fixture, &json!({ "podTemplate": template }), "fields", "failed", &[field]);
    }
    assert_found(&fixture, &other("proxy", "proxy:1"), "fields", "passed", &["the operator accepts it"]);
    // The name of the host is no Service here; from this machine it does not resolve either.
    let (findings, _) = check(&fixture, &database("db", "uri"));
    let text = format!("{findings:?}");
    assert!(text.contains("nowhere-at-all") && !text.contains("hunter2"), "{text}");
    assert_found(
        &fixture,
        &database("db", "uri"),
        "stores",
        "warning",
        &["nowhere-at-all:5432", "does not resolve"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_namespace_are_found() {
    let fixture = Fixture::new("check-namespace").await;
    let namespace = fixture.namespace.as_str();
    let object = |kind: &str, name: &str, spec: Value| {
        let version = if kind == "Deployment" { "apps/v1" } else { "v1" };
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})
    };
    apply(&fixture.client, &object("Service", NAME, json!({"ports": [{"port": 80}]}))).await;
    assert_found(&fixture, &json!({}), "names", "failed", &["Service auth", "belong to others"]);

    apply(&fixture.client, &object("ResourceQuota", "full", json!({"hard": {"limits.cpu": "10"}}))).await;
    set_quota(&fixture, &json!({"hard": {"limits.cpu": "10"}, "used": {"limits.cpu": "0"}})).await;
    assert_found(&fixture, &json!({}), "pods", "failed", &["must specify limits.cpu", "full"]);
    let hard = json!({"hard": {"pods": "5"}, "used": {"pods": "2"}});
    apply(&fixture.client, &object("ResourceQuota", "full", json!({"hard": {"pods": "5"}}))).await;
    set_quota(&fixture, &json!({"hard": {"limits.cpu": null}})).await;
    set_quota(&fixture, &hard).await;
    assert_found(
        &fixture,
        &json!({"replicas": 2}),
        "quotas",
        "failed",
        &["pods: 6 are needed", "of 5 are left"],
    );

    let limits = json!({"limits": [{"type": "Container", "max": {"memory": "200Mi"}}]});
    apply(&fixture.client, &object("LimitRange", "small", limits)).await;
    assert_found(&fixture, &json!({}), "pods", "failed", &["maximum memory usage per Container is 200Mi"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_permissions_are_reported() {
    let fixture = Fixture::new("check-rights").await;
    let folder = temporary_folder("check");
    let file = folder.path().join("auth.yaml");
    fs::write(
        &file,
        "apiVersion: latchkey.dev/v1alpha1\nkind: AuthService\nmetadata: {name: auth}\nspec: {}\n",
    )
    .expect("written");
    let output = plugin(&fixture, &["check", "-f", file.to_str().expect("a text"), "--as", "nobody"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text.contains("your user may not create authservices"), "{text}");
    assert!(text.contains("unknown"), "{text}");
}

/// The fields of the CRD that name a Secret or a ConfigMap; `check` reads each of them.
#[test]
fn every_reference_of_the_definition_is_checked() {
    fn collect(schema: &Value, path: &str, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let refers =
                ["SecretRef", "secretRef", "ConfigMapRef", "configMapRef", "pullSecrets", "secretName"];
            if refers.iter().any(|end| name.ends_with(end)) {
                found.push(path.clone());
            }
            collect(property, &path, found);
            collect(&property["items"], &path, found);
        }
    }
    let crd: Value =
        serde_yaml_ng::from_str(&fs::read_to_string(auth_service_crd()).expect("the CRD")).expect("YAML");
    let mut found = Vec::new();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    collect(schema, "spec", &mut found);
    assert!(found.len() > 8, "{found:?}");
    let source = latchkey_tests::documentation::read("plugin/src/check/references.rs");
    let missing: Vec<_> = found
        .iter()
        .map(|path| {
            path.replace("trustedCAs.secretRef", "trustedCAs")
                .replace("trustedCAs.configMapRef", "trustedCAs")
        })
        .filter(|path| !source.contains(&format!("\"{path}\"")))
        .collect();
    assert!(missing.is_empty(), "kubectl latchkey check does not read {missing:?}");
}

/// What `check` assumes about the pods is what the operator creates.
#[tokio::test(flavor = "multi_thread")]
async fn the_pods_that_are_checked_are_those_that_the_operator_creates() {
    let fixture = Fixture::new("check-pods").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let source = latchkey_tests::documentation::read("plugin/src/check/quotas.rs");
    let pods = fixture.any("Pod").list(&kube::api::ListParams::default()).await.expect("pods");
    let mut components = std::collections::BTreeSet::new();
    for pod in pods {
        let component =
            pod.metadata.labels.as_ref().and_then(|labels| labels.get("app.kubernetes.io/component"));
        let component = component.expect("a component").clone();
        for container in pod.data["spec"]["containers"].as_array().expect("containers") {
            let resource = |kind: &str, name: &str| {
                container["resources"][kind][name].as_str().unwrap_or_default().to_owned()
            };
            let written = format!(
                "resources(\"{}\", \"{}\", \"{}\")",
                resource("requests", "cpu"),
                resource("requests", "memory"),
                resource("limits", "memory")
            );
            assert!(source.contains(&written), "{component}: {written}");
        }
        assert!(source.contains(&format!("component: \"{component}\"")), "{component}");
        components.insert(component);
    }
    assert_eq!(components.len(), 4, "{components:?}");
}
