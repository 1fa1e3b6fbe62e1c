//! The health check for Argo CD, in the layout of Argo CD's own checks, on every state of the conditions that the
//! operator's status code decides.

use std::fs;
use std::path::PathBuf;

use latchkey_tests::programs;
use serde_json::{Value, json};

use crate::tools::health;

const SNAPSHOT: &str = "operator/src/auth_service/status/snapshots/\
                        latchkey_operator__auth_service__status__overall_tests__the_overall_state_of_every_condition_case.snap";

fn read(path: &str) -> String {
    fs::read_to_string(programs::workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn folder() -> PathBuf {
    programs::workspace().join("docs/samples/gitops/argo-cd/latchkey.dev/AuthService")
}

fn yaml(file: &str) -> Value {
    let text = fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_yaml_ng::from_str(&text).expect("YAML")
}

/// The states that the operator's tests decide.
fn cases() -> Vec<Value> {
    let snapshot = read(SNAPSHOT);
    let (_, json) = snapshot.split_once("\n---\n").expect("a header");
    serde_json::from_str(json).expect("JSON")
}

#[test]
fn every_condition_case_has_the_health_that_the_operator_decided() {
    let cases = cases();
    assert!(cases.len() > 20, "{}", cases.len());
    for case in cases {
        let conditions = case["conditions"].as_array().expect("conditions");
        let condition =
            |kind: &str| conditions.iter().find(|one| one["type"] == kind).unwrap_or(&Value::Null);
        let ready = condition("Ready");
        let is_unreadable = condition("Stalled")["reason"] == "UnreadableResource";
        let expected = match case["verdict"].as_str().expect("a verdict") {
            _ if condition("Paused")["status"] == "True" && !is_unreadable => "Suspended",
            "Blocked" => "Degraded",
            "InProgress" => "Progressing",
            _ if ready["status"] == "True" => "Healthy",
            _ => "Suspended",
        };
        let object = json!({
            "metadata": {"generation": 3},
            "status": {"observedGeneration": 3, "conditions": conditions},
        });
        let (status, message) = health(&object);
        assert_eq!(status, expected, "{case:#}");
        assert!(conditions.iter().any(|one| one["message"] == message), "{message}: {case:#}");
    }
}

#[test]
fn the_tests_in_argo_cds_own_format_pass_on_states_of_the_operator() {
    let tests = yaml("health_test.yaml");
    let tests = tests["tests"].as_array().expect("tests");
    let mut seen: Vec<&str> = Vec::new();
    for test in tests {
        let input = test["inputPath"].as_str().expect("a path");
        let object = yaml(input);
        let (status, message) = health(&object);
        let expected = &test["healthStatus"];
        assert_eq!(
            (json!(status), json!(message)),
            (expected["status"].clone(), expected["message"].clone()),
            "{input}"
        );
        seen.push(expected["status"].as_str().expect("a status"));
        let Some(conditions) = object["status"]["conditions"].as_array() else { continue };
        let state = |one: &Value| (one["type"].clone(), one["status"].clone(), one["reason"].clone());
        let mut found: Vec<_> = conditions.iter().map(|one| format!("{:?}", state(one))).collect();
        found.sort();
        let is_of_operator = cases().iter().any(|case| {
            let conditions = case["conditions"].as_array().expect("conditions");
            let mut others: Vec<_> = conditions.iter().map(|one| format!("{:?}", state(one))).collect();
            others.sort();
            others == found
        });
        assert!(is_of_operator, "{input}: the operator has no such state: {found:?}");
    }
    for status in ["Healthy", "Progressing", "Degraded", "Suspended"] {
        assert!(seen.contains(&status), "no test for {status}");
    }
    let files = fs::read_dir(folder().join("testdata")).expect("the folder").count();
    assert_eq!(files, tests.len(), "every file in testdata has a test");
}

#[test]
fn the_patch_for_argo_cd_contains_the_script() {
    let patch: Value =
        serde_yaml_ng::from_str(&read("docs/samples/gitops/argo-cd-health.yaml")).expect("YAML");
    let script = fs::read_to_string(folder().join("health.lua")).expect("the script");
    assert_eq!(patch["data"]["resource.customizations.health.latchkey.dev_AuthService"], script);
}
