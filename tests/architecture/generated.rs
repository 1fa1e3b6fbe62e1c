//! Generated files are committed, and are what is generated.

use std::fs;

use latchkey_tests::programs::{latchkey_operator, workspace};
use latchkey_tests::server::{Variables, run_command};

fn committed(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_openapi_document_is_what_the_server_prints() {
    let printed = run_command(&["openapi"], &Variables::new());
    assert!(printed.status.success());
    assert!(
        committed("docs/reference/openapi.json") == String::from_utf8_lossy(&printed.stdout),
        "docs/reference/openapi.json is stale: make generate"
    );
}

#[test]
fn the_definition_is_what_the_operator_prints() {
    let printed =
        latchkey_tests::process::run_ok(std::process::Command::new(latchkey_operator()).arg("crds"));
    assert!(committed("crds/auth_service.yaml") == printed, "crds/auth_service.yaml is stale: make generate");
}

#[test]
fn the_chart_carries_the_same_definition() {
    assert!(
        committed("charts/latchkey/files/auth_service.yaml") == committed("crds/auth_service.yaml"),
        "charts/latchkey/files/auth_service.yaml is stale: make generate"
    );
}
