//! Generated files are committed, and are what is generated.

use std::fs;

use latchkey_tests::programs::{latchkey_operator, workspace};
use latchkey_tests::server::{Variables, run_command};

const DEFINITIONS: [&str; 2] = ["auth_service.yaml", "auth_client.yaml"];

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
fn the_definitions_are_what_the_operator_prints() {
    let printed =
        latchkey_tests::process::run_ok(std::process::Command::new(latchkey_operator()).arg("crds"));
    let expected = DEFINITIONS.map(|name| committed(&format!("crds/{name}"))).concat();
    assert!(expected == printed, "crds/*.yaml is stale: make generate");
}

#[test]
fn the_chart_carries_the_same_definitions() {
    for name in DEFINITIONS {
        assert!(
            committed(&format!("charts/latchkey/files/{name}")) == committed(&format!("crds/{name}")),
            "charts/latchkey/files/{name} is stale: make generate"
        );
    }
}
