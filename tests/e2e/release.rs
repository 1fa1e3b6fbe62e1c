//! The release of the chart that all tests share. The first test installs it, after removing the objects of earlier
//! releases.

use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use kube::Client;
use latchkey_tests::chart;
use latchkey_tests::cluster::Cluster;
use latchkey_tests::control_plane::apply;
use latchkey_tests::monitoring::prometheus_crds;
use latchkey_tests::process::{run, run_ok};
use serde_json::json;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::objects::{self, Objects};

/// The namespace of the release.
pub const SYSTEM: &str = "latchkey-system";

/// The name of the release.
const RELEASE: &str = "latchkey";
const OPERATOR: &str = "deployment/latchkey-operator";

/// The label of the tests' namespaces, by which the next run finds those of a killed one.
pub const LABEL: &str = "latchkey.dev/e2e";

/// The state of the release.
pub enum State {
    /// It is not installed.
    Absent,
    /// It is installed. These objects existed before.
    Installed(Objects),
    /// The installation failed, and is not repeated for every test.
    Failed(String),
}

/// While this is held, the release remains installed.
pub type Held = RwLockReadGuard<'static, State>;

static RELEASE_STATE: LazyLock<RwLock<State>> = LazyLock::new(|| RwLock::new(State::Absent));

/// Holds the release, and installs it if it is missing.
///
/// # Panics
/// When it cannot be installed.
pub async fn hold() -> Held {
    let state = RELEASE_STATE.read().await;
    if matches!(*state, State::Installed(_)) {
        return state;
    }
    drop(state);
    RwLockWriteGuard::downgrade(hold_alone().await)
}

/// Holds the release exclusively, for the test that uninstalls it. Waits until no other test holds it.
///
/// # Panics
/// When it cannot be installed.
pub async fn hold_alone() -> RwLockWriteGuard<'static, State> {
    let mut state = RELEASE_STATE.write().await;
    if matches!(*state, State::Absent) {
        *state = install().await;
    }
    if let State::Failed(reason) = &*state {
        panic!("the chart could not be installed: {reason}");
    }
    state
}

async fn install() -> State {
    let cluster = Cluster::shared();
    let client = cluster.client().await;
    remove_leftovers(cluster);
    // Before the objects of the cluster are listed, because these do not belong to the release.
    for file in prometheus_crds() {
        run_ok(cluster.kubectl().args(["apply", "--server-side", "--filename"]).arg(file));
    }
    create_namespace(&client, SYSTEM).await;
    objects::wait_for_namespace(&client, SYSTEM).await;
    let before = objects::all(&client).await;
    let output = run(&mut helm("install", &[]));
    if output.status.success() {
        return State::Installed(before);
    }
    State::Failed(format!("{}{}", String::from_utf8_lossy(&output.stderr), describe_operator()))
}

/// `helm upgrade` with these values; waits until the operator runs with them.
///
/// # Panics
/// When helm fails.
pub fn upgrade(values: &[&str]) {
    // Helm refuses concurrent operations on a release.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let output = run(&mut helm("upgrade", values));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "helm upgrade failed: {error}{}", describe_operator());
}

/// `helm uninstall`; waits until the deleted objects are gone.
///
/// # Panics
/// When helm fails.
pub fn uninstall() {
    run_ok(Cluster::shared().helm().args([
        "uninstall",
        RELEASE,
        "--namespace",
        SYSTEM,
        "--wait",
        "--timeout",
        "60s",
    ]));
}

fn helm(action: &str, values: &[&str]) -> Command {
    let cluster = Cluster::shared();
    let (operator, server) = (split(&cluster.images.operator), split(&cluster.images.server));
    let mut command = cluster.helm();
    command.args([action, RELEASE]).arg(chart::folder()).args(["--namespace", SYSTEM]);
    command.args(["--wait", "--timeout", "120s"]);
    let images = [
        ("image.repository", operator.0),
        ("image.tag", operator.1),
        ("serverImage.repository", server.0),
        ("serverImage.tag", server.1),
        ("embedded.postgresImage", &cluster.images.postgres),
        ("embedded.valkeyImage", &cluster.images.valkey),
    ];
    for (name, value) in images {
        // As a string, because a tag can consist of digits.
        command.args(["--set-string", &format!("{name}={value}")]);
    }
    for part in ["serviceMonitor", "prometheusRule", "dashboard"] {
        command.args(["--set", &format!("metrics.{part}.enabled=true")]);
    }
    for value in values {
        command.args(["--set", value]);
    }
    command
}

fn split(image: &str) -> (&str, &str) {
    image.rsplit_once(':').expect("an image with a tag")
}

/// Creates a namespace that enforces Pod Security `restricted`.
pub async fn create_namespace(client: &Client, name: &str) {
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted", LABEL: "true"});
    let metadata = json!({"name": name, "labels": labels});
    apply(client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
}

/// Removes what a killed run or a manual installation has left.
fn remove_leftovers(cluster: &Cluster) {
    let kubectl = |arguments: &[&str]| run_ok(cluster.kubectl().args(arguments));
    // AuthServices and pods are deleted first, as at the end of each test.
    if run(cluster.kubectl().args(["get", "crd", "authservices.latchkey.dev"])).status.success() {
        kubectl(&["delete", "authsvc", "--all", "--all-namespaces"]);
    }
    for label in ["e2e", "app.kubernetes.io/managed-by=latchkey-operator"] {
        kubectl(&["delete", "pod", "--all-namespaces", "-l", label, "--now"]);
    }
    kubectl(&["delete", "crd", "authservices.latchkey.dev", "--ignore-not-found", "--timeout=60s"]);
    let installed = run_ok(cluster.helm().args([
        "list",
        "--all-namespaces",
        "--filter",
        "^latchkey$",
        "--output",
        "json",
    ]));
    let installed: Vec<serde_json::Value> = serde_json::from_str(&installed).expect("JSON");
    for release in installed {
        let namespace = release["namespace"].as_str().expect("a namespace");
        run_ok(cluster.helm().args([
            "uninstall",
            RELEASE,
            "--namespace",
            namespace,
            "--wait",
            "--timeout",
            "60s",
        ]));
    }
    kubectl(&["delete", "namespace", "-l", LABEL, "--timeout=120s"]);
}

/// The state and the log of the operator, for a failed test.
pub fn describe_operator() -> String {
    let kubectl = |arguments: &[&str]| {
        let mut command = Cluster::shared().kubectl();
        let output = run(command.args(["-n", SYSTEM]).args(arguments));
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    format!(
        "\n--- the operator:\n{}{}\n--- its log:\n{}",
        kubectl(&["get", "pods,events"]),
        kubectl(&["describe", OPERATOR]),
        kubectl(&["logs", OPERATOR, "--all-pods", "--prefix", "--tail=60"]),
    )
}

/// The complete log of the operator.
pub fn operator_log() -> String {
    run_ok(Cluster::shared().kubectl().args(["-n", SYSTEM, "logs", OPERATOR, "--all-pods", "--tail=-1"]))
}
