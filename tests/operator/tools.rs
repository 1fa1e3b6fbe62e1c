//! Tools that wait for an AuthService: Helm, which uses kstatus like Flux, and Argo CD with the health check in
//! docs/samples.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use latchkey_crds::AuthService;
use latchkey_tests::process::{OnParentDeath, Process, run_ok, temporary_folder};
use latchkey_tests::programs;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};

/// A chart with one AuthService, whose spec is a value.
fn write_chart(folder: &Path) {
    let template = format!(
        "apiVersion: latchkey.dev/v1alpha1\nkind: AuthService\nmetadata:\n  name: {NAME}\nspec:\n  {}\n",
        "{{- toYaml .Values.spec | nindent 2 }}"
    );
    fs::create_dir(folder.join("templates")).expect("a folder");
    fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: ours\nversion: 1.0.0\n").expect("written");
    fs::write(folder.join("templates/auth.yaml"), template).expect("written");
}

/// A running `helm upgrade --install --wait`.
fn start_helm(fixture: &Fixture, chart: &Path, spec: &Value, timeout: &str) -> Process {
    let mut helm = fixture.control_plane.program("helm");
    helm.args(["upgrade", "--install", "ours"]).arg(chart).args(["--namespace", &fixture.namespace]);
    helm.args(["--wait", "--timeout", timeout, "--set-json", &format!("spec={spec}")]);
    Process::start(&helm, OnParentDeath::Kill)
}

/// Waits for helm to fail; returns its error.
fn error_of(mut helm: Process) -> String {
    assert!(!helm.wait().success(), "helm considered it complete");
    helm.stderr.all().join("\n")
}

/// The health of an AuthService in Argo CD.
pub fn status_of(object: &AuthService) -> String {
    health(&serde_json::to_value(object).expect("JSON")).0
}

/// The status and the message that the health check computes. Argo CD's interpreter is compatible with Lua 5.1.
pub fn health(object: &Value) -> (String, String) {
    let sample = programs::workspace().join("docs/samples/gitops/argo-cd-health.yaml");
    let sample: Value =
        serde_yaml_ng::from_str(&fs::read_to_string(sample).expect("the sample")).expect("YAML");
    let check = &sample["data"]["resource.customizations.health.latchkey.dev_AuthService"];
    let object = lua(object);
    let program = format!(
        "obj = {object}\nlocal function check()\n{}\nend\nlocal health = check()\nassert(type(health.message) == 'string')\nio.write(health.status, '\\n', health.message)",
        check.as_str().expect("a program")
    );
    let folder = temporary_folder("lua");
    let file = folder.path().join("health.lua");
    fs::write(&file, program).expect("written");
    let printed = run_ok(Command::new(programs::debian("lua5.1")).arg(file));
    let (status, message) = printed.split_once('\n').expect("a status and a message");
    (status.to_owned(), message.to_owned())
}

/// A value as Lua writes it.
fn lua(value: &Value) -> String {
    let text = |text: &str| {
        let bytes = text.bytes().map(|byte| format!("\\{byte:03}")).collect::<Vec<_>>().concat();
        format!("\"{bytes}\"")
    };
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(string) => text(string),
        Value::Array(items) => format!("{{{}}}", items.iter().map(lua).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("[{}]={}", text(name), lua(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

#[tokio::test]
async fn helm_waits_for_an_auth_service_and_fails_early_if_it_is_stalled() {
    let fixture = Fixture::new("helm-wait").await;
    let _operator = fixture.start_operator().await;
    let chart = temporary_folder("chart");
    write_chart(chart.path());
    // No kubelet starts a pod yet.
    let late = start_helm(&fixture, chart.path(), &json!({"replicas": 2}), "3s");
    let late = error_of(late);
    assert!(late.contains("InProgress"), "{late}");

    let mut helm = start_helm(&fixture, chart.path(), &json!({"replicas": 1}), "120s");
    fixture.wait_for_reason("Progressing", "True", "WaitingForDatabase").await;
    assert!(helm.is_running(), "{:?}", helm.stderr.all());
    let _kubelet = fixture.start_kubelet();
    fixture.wait_for_condition("Ready", "True").await;
    assert!(helm.wait().success(), "{:?}", helm.stderr.all());

    let begun = Instant::now();
    let broken = json!({"database": {"urlSecretRef": {"name": "nowhere"}}});
    let broken = error_of(start_helm(&fixture, chart.path(), &broken, "120s"));
    assert!(broken.contains("Failed") && broken.contains("nowhere"), "{broken}");
    assert!(begun.elapsed() < Duration::from_mins(1), "helm waited although the AuthService was stalled");
}

#[tokio::test]
async fn the_health_check_for_argo_cd_reports_the_same_states() {
    let fixture = Fixture::new("argo-cd").await;
    let new = fixture.apply(json!({})).await;
    assert_eq!(status_of(&new), "Progressing", "not yet reconciled");
    let _operator = fixture.start_operator().await;
    fixture.wait_for_reason("Progressing", "True", "WaitingForDatabase").await;
    assert_eq!(status_of(&fixture.auth_service().await), "Progressing");
    let _kubelet = fixture.start_kubelet();
    fixture.wait_for_condition("Ready", "True").await;
    assert_eq!(status_of(&fixture.auth_service().await), "Healthy");

    let mut changed = fixture.auth_service().await;
    changed.metadata.generation = changed.metadata.generation.map(|generation| generation + 1);
    assert_eq!(status_of(&changed), "Progressing", "the change is not yet reconciled");

    fixture.merge(json!({"spec": {"replicas": 0}})).await;
    fixture.wait_for_reason("Ready", "False", "ScaledToZero").await;
    assert_eq!(status_of(&fixture.auth_service().await), "Suspended");
    fixture.merge(json!({"spec": {"database": {"urlSecretRef": {"name": "nowhere"}}}})).await;
    fixture.wait_for_reason("Stalled", "True", "SecretMissing").await;
    assert_eq!(status_of(&fixture.auth_service().await), "Degraded");
    fixture.merge(json!({"spec": {"paused": true}})).await;
    fixture.wait_for_condition("Paused", "True").await;
    assert_eq!(status_of(&fixture.auth_service().await), "Suspended");
}
