//! The chart's unit tests, kube-score, and the generated README.

use std::fs;
use std::process::Command;

use latchkey_tests::chart::folder;
use latchkey_tests::process::run_with_input;
use latchkey_tests::process::{run, run_ok};
use latchkey_tests::programs;

/// The chart with the values that its README recommends for production, and with everything enabled.
pub const PRODUCTION: [&str; 6] = [
    "replicas=2",
    "networkPolicy.enabled=true",
    "networkPolicy.apiServer.cidrs={10.0.0.1/32}",
    "metrics.serviceMonitor.enabled=true",
    "metrics.prometheusRule.enabled=true",
    "metrics.dashboard.enabled=true",
];

/// What `helm template` prints with these values.
pub fn manifests(values: &[&str]) -> String {
    let mut command = Command::new(programs::test_bed("helm"));
    command.args(["template", "latchkey"]).arg(folder()).args(["--namespace", "latchkey-system"]);
    for value in values {
        command.args(["--set", value]);
    }
    run_ok(&mut command)
}

#[test]
fn the_chart_passes_its_unit_tests() {
    let output = run(Command::new(programs::test_bed("helm-unittest")).args(["--strict"]).arg(folder()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("Test Suites: 3 passed"), "{text}");
}

#[test]
fn kube_score_finds_only_explained_exceptions() {
    let exceptions = fs::read_to_string(folder().join("tests/kube-score-exceptions.txt")).expect("a list");
    let mut score = Command::new(programs::test_bed("kube-score"));
    score.args(["score", "--output-format", "ci"]);
    for line in exceptions.lines().filter(|line| !line.starts_with('#')) {
        let (check, reason) = line.split_once(": ").expect("a check and the reason");
        assert!(reason.len() > 20, "{check} has no reason");
        // The only check that can be partly excluded, for which there is a separate option.
        match check {
            "container-cpu-limit" => score.arg("--ignore-container-cpu-limit"),
            check => score.args(["--ignore-test", check]),
        };
    }
    let output = run_with_input(score.arg("-"), &manifests(&PRODUCTION));
    let text = String::from_utf8_lossy(&output.stdout);
    let findings: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("[OK]") && !line.starts_with("[SKIPPED]")).collect();
    assert!(text.contains("[OK] latchkey-operator/latchkey-system apps/v1/Deployment"), "{text}");
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn the_readme_matches_the_values() {
    let mut command = Command::new(programs::workspace().join("scripts/chart-readme"));
    let committed = fs::read_to_string(folder().join("README.md")).expect("the README");
    assert!(
        committed.contains("| serverImage.repository |"),
        "the README has no values: helm-docs prints nothing when it fails"
    );
    assert_eq!(run_ok(&mut command), committed, "charts/latchkey/README.md is stale: run `make generate`");
}
