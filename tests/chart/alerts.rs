//! The alerts: Prometheus accepts them, they fire as specified, and each has a runbook.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use latchkey_tests::chart::{of_kind, render};
use latchkey_tests::process::{run_ok, temporary_folder};
use latchkey_tests::programs::workspace;
use latchkey_tests::{monitoring, programs};
use serde_json::Value;

/// `spec` of the PrometheusRule.
fn rules() -> Value {
    let objects = render("latchkey", "latchkey-system", &["metrics.prometheusRule.enabled=true"]);
    of_kind(&objects, "PrometheusRule")[0]["spec"].clone()
}

fn alerts(rules: &Value) -> Vec<&Value> {
    let groups = rules["groups"].as_array().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect()
}

fn names(rules: &Value) -> BTreeSet<String> {
    alerts(rules).iter().map(|alert| alert["alert"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn each_alert_fires_only_in_its_cases() {
    let rules = rules();
    let cases = workspace().join("tests/chart/alerts.yaml");
    let text = fs::read_to_string(&cases).expect("the cases");
    let untested: Vec<String> =
        names(&rules).into_iter().filter(|name| !text.contains(&format!("- name: {name}"))).collect();
    assert!(untested.is_empty(), "{} has no case for {untested:?}", cases.display());

    let folder = temporary_folder("alerts");
    fs::write(folder.path().join("rules.yaml"), serde_yaml_ng::to_string(&rules).expect("YAML"))
        .expect("written");
    fs::write(folder.path().join("alerts.yaml"), text).expect("written");
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "alerts.yaml"]] {
        let mut promtool = Command::new(programs::promtool());
        run_ok(promtool.args(arguments).current_dir(folder.path()));
    }
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() {
    let rules = rules();
    let guide =
        fs::read_to_string(workspace().join("docs/reference/alerts.md")).expect("docs/reference/alerts.md");
    let sections: BTreeSet<String> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("### Latchkey"))
        .map(|n| format!("Latchkey{n}"))
        .collect();
    assert_eq!(names(&rules), sections);
    for alert in alerts(&rules) {
        let annotation = |name: &str| alert["annotations"][name].as_str().unwrap_or_default();
        for name in ["summary", "description"] {
            assert!(!annotation(name).is_empty(), "{name} of {alert}");
        }
        // GitHub's anchor of a one-word heading is its lower-case form.
        let anchor =
            format!("docs/reference/alerts.md#{}", alert["alert"].as_str().expect("a name").to_lowercase());
        assert!(annotation("runbook_url").ends_with(&anchor), "{alert}");
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning", "info"].contains(&severity), "{alert}");
    }
}

#[test]
fn alerts_and_dashboard_use_declared_and_documented_metrics() {
    let rules = rules();
    let expressions =
        alerts(&rules).into_iter().filter_map(|alert| alert["expr"].as_str().map(str::to_owned));
    let queries = monitoring::dashboard_queries().into_iter().map(|query| query.expression);
    let asked: BTreeSet<String> =
        expressions.chain(queries).flat_map(|text| monitoring::metrics_in(&text)).collect();
    assert!(asked.len() > 15, "{asked:?}");
    let read = |path: &str| fs::read_to_string(workspace().join(path)).expect(path);
    let declared = [
        read("server/src/metrics/declare.rs"),
        read("operator/src/metrics/mod.rs"),
        read("operator/src/metrics/auth_services.rs"),
        read("operator/src/metrics/auth_clients.rs"),
    ]
    .concat();
    let guide = read("docs/reference/metrics.md");
    for metric in &asked {
        assert!(declared.contains(&format!("\"{metric}\"")), "{metric} is not declared");
        assert!(guide.contains(&format!("`{metric}`")), "docs/reference/metrics.md does not list {metric}");
    }
}

#[test]
fn the_guide_lists_every_metric() {
    let guide =
        fs::read_to_string(workspace().join("docs/reference/metrics.md")).expect("docs/reference/metrics.md");
    for file in [
        "server/src/metrics/declare.rs",
        "operator/src/metrics/mod.rs",
        "operator/src/metrics/auth_clients.rs",
        "operator/src/metrics/auth_services.rs",
    ] {
        let source = fs::read_to_string(workspace().join(file)).expect(file);
        let declared = source.split('"').filter(|text| {
            text.starts_with("latchkey_") && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        });
        for metric in declared {
            assert!(
                guide.contains(&format!("`{metric}`")),
                "docs/reference/metrics.md does not list {metric}"
            );
        }
    }
}
