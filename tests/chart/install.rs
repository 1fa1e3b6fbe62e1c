//! The chart on a real API server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, Client};
use latchkey_tests::control_plane::{Contents, ControlPlane, apply};
use latchkey_tests::monitoring::prometheus_crds;
use latchkey_tests::process::{run, run_ok};
use latchkey_tests::{chart, programs, wait};
use serde_json::{Value, json};

use crate::conform;
use crate::linters::PRODUCTION;

const SYSTEM: &str = "latchkey-system";

/// One test, because starting an API server takes most of the time.
#[tokio::test]
async fn helm_installs_upgrades_and_uninstalls() {
    let monitoring = prometheus_crds();
    let monitoring = monitoring.iter().filter(|file| {
        let name = file.to_string_lossy();
        name.ends_with("_servicemonitors.yaml") || name.ends_with("_prometheusrules.yaml")
    });
    let monitoring: Vec<PathBuf> = monitoring.cloned().collect();
    let control_plane = ControlPlane::start(Contents { crds: &monitoring, controllers: &[] }).await;
    let client = control_plane.client().await;
    conform::kubeconform(&client, control_plane.folder()).await;
    let restricted = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    for name in [SYSTEM, "team-a"] {
        let metadata = json!({"name": name, "labels": restricted});
        apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
    }
    let kubeconfig = control_plane.folder().join("helm.kubeconfig");
    fs::write(&kubeconfig, control_plane.kubectl(&["config", "view", "--raw", "--flatten"]))
        .expect("written");
    let copy = control_plane.folder().join("chart");
    run_ok(Command::new("cp").arg("-r").arg(chart::folder()).arg(&copy));
    let helm = |arguments: &[&str]| {
        let mut command = Command::new(programs::test_bed("helm"));
        // Helm's own files belong to this test, not to the user who runs it.
        command.env("HELM_CACHE_HOME", control_plane.folder().join("helm-cache"));
        command.arg("--kubeconfig").arg(&kubeconfig).args(["--namespace", SYSTEM]).args(arguments);
        run_ok(&mut command)
    };
    let chart = copy.to_str().expect("a path in UTF-8");

    let production = PRODUCTION.map(|value| ["--set", value]);
    let notes = helm(&[&["install", "latchkey", chart][..], production.as_flattened()].concat());
    assert!(notes.contains("kubectl explain authsvc.spec"), "{notes}");
    let crd = fetch_crd(&client).await;
    assert!(crd.is_some(), "the release contains no CRD");
    pod_is_admitted(&client, &control_plane).await;

    // An upgrade updates the CRD, which Helm does not do for the crds/ folder of a chart.
    add_printer_column(&copy.join("files/auth_service.yaml"));
    helm(&["upgrade", "latchkey", chart, "--set", "watchNamespace=team-a,metrics.service.port=9000"]);
    let crd = fetch_crd(&client).await.expect("the CRD");
    let columns = crd.spec.versions[0].additional_printer_columns.clone().unwrap_or_default();
    assert!(columns.iter().any(|column| column.name == "Test"), "{columns:?}");
    let can = |verb: &str, resource: &str, namespace: &str| {
        let account = format!("--as=system:serviceaccount:{SYSTEM}:latchkey-operator");
        let mut command = Command::new(programs::test_bed("kubectl"));
        command.arg("--kubeconfig").arg(&kubeconfig).args(["auth", "can-i", verb, resource, "-n", namespace]);
        run(command.arg(account)).status.success()
    };
    assert!(can("list", "secrets", "team-a"), "the permissions do not include the watched namespace");
    assert!(!can("list", "secrets", SYSTEM), "the permissions include another namespace");
    assert!(can("update", "leases.coordination.k8s.io/latchkey-operator", SYSTEM));
    assert!(!can("update", "leases.coordination.k8s.io/other", SYSTEM));

    helm(&["uninstall", "latchkey"]);
    assert!(fetch_crd(&client).await.is_some(), "the CRD was deleted, and with it every AuthService");
    let all = "deployments,services,networkpolicies,configmaps,servicemonitors,prometheusrules";
    let left = control_plane.kubectl(&["-n", SYSTEM, "get", all, "-o", "name"]);
    assert_eq!(left.replace("configmap/kube-root-ca.crt\n", ""), "");

    // The next release adopts the retained definition, and deletes it if requested.
    helm(&["install", "latchkey", chart, "--set", "crds.keep=false"]);
    helm(&["uninstall", "latchkey"]);
    wait::until("the CRD to be deleted", async || {
        let left = fetch_crd(&client).await;
        wait::check(left.is_none(), left.map(|crd| crd.metadata.deletion_timestamp))
    })
    .await;
}

async fn fetch_crd(client: &Client) -> Option<CustomResourceDefinition> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    api.get_opt("authservices.latchkey.dev").await.expect("a response")
}

/// A pod of the installed Deployment passes Pod Security `restricted`, which the namespace enforces.
async fn pod_is_admitted(client: &Client, control_plane: &ControlPlane) {
    let deployment =
        control_plane.kubectl(&["-n", SYSTEM, "get", "deployment/latchkey-operator", "-o", "json"]);
    let deployment: Value = serde_json::from_str(&deployment).expect("JSON");
    let mut pod = deployment["spec"]["template"].clone();
    pod["metadata"]["name"] = json!("latchkey-operator-0");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    assert!(namespaces.get(SYSTEM).await.is_ok());
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    pods.create(&dry_run, &serde_json::from_value(pod).expect("a pod")).await.expect("the pod is admitted");
}

fn add_printer_column(file: &Path) {
    let text = fs::read_to_string(file).expect("the CRD");
    let mut crd: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    let column = json!({"name": "Test", "type": "string", "jsonPath": ".metadata.uid"});
    crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array_mut().expect("columns").push(column);
    fs::write(file, serde_yaml_ng::to_string(&crd).expect("YAML")).expect("written");
}
