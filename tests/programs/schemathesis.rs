//! Schemathesis checks the server against its OpenAPI document, with valid and invalid input, as a superuser, as an OAuth
//! client, and without a token.

use std::process::Command;

use latchkey_tests::app::{App, SUPERUSER, path, superuser_password};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::process::run;
use latchkey_tests::programs::workspace;
use latchkey_tests::smtp::Smtp;
use serde_json::json;
use tokio::sync::Mutex;

use crate::verifiers::prepared;

/// The runs use all cores, so that they take no longer one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[derive(Clone, Copy)]
enum Caller {
    Anonymous,
    Superuser,
    Client,
}

/// Asserts that no check fails, and that each of these requests succeeded at least once.
async fn assert_no_finding(caller: Caller, succeeded: &[(&str, &str)]) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let grants = json!(["client_credentials", "password", "refresh_token"]);
    let client =
        TestClient::new("schemathesis", &["orders:read", "orders:write"]).with("grant_types", grants);
    // Every feature is enabled, so that no endpoint only refuses; rate limits are disabled.
    let app = App::setup()
        .mail(Smtp::Plain)
        .clients(std::slice::from_ref(&client))
        .set("RATE_LIMITS_ENABLED", "false")
        .set("REGISTRATION_ENABLED", "true")
        .set("ACCOUNT_DELETION_ENABLED", "true")
        .start()
        .await;
    let folder = tempfile::tempdir().unwrap();
    let config = workspace().join("tests/programs/python/schemathesis.toml");
    let mut command = Command::new(prepared("python").join("bin/schemathesis"));
    command
        .arg("--config-file")
        .arg(config)
        .args(["run", &format!("{}/openapi.json", app.server().api), "--no-color"])
        .current_dir(folder.path())
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", workspace().join("tests/programs/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONHASHSEED", "0")
        .env("LATCHKEY_URL", &app.server().api);
    match caller {
        Caller::Anonymous => {}
        Caller::Superuser => {
            command.env("LATCHKEY_USERNAME", SUPERUSER).env("LATCHKEY_PASSWORD", superuser_password());
        }
        Caller::Client => {
            command.env("LATCHKEY_CLIENT_ID", &client.id).env("LATCHKEY_CLIENT_SECRET", &client.secret);
        }
    }
    let output = run(&mut command);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    for (method, route) in succeeded {
        let labels = [format!("method=\"{method}\""), format!("route=\"{route}\"")];
        let labels = [labels[0].as_str(), &labels[1], "status=\"2xx\""];
        let count = app.server().metric("latchkey_http_requests_total", &labels).await;
        assert!(count > 0.0, "{method} {route} never succeeded: {printed}");
    }
}

#[tokio::test]
async fn schemathesis_finds_nothing_without_a_token() {
    assert_no_finding(Caller::Anonymous, &[]).await;
}

#[tokio::test]
async fn schemathesis_finds_nothing_as_a_superuser() {
    let (groups, group) = (path::GROUPS, format!("{}/{{name}}", path::GROUPS));
    let (group, members) = (group.as_str(), format!("{group}/members"));
    let requests = [
        ("POST", groups),
        ("GET", groups),
        ("GET", group),
        ("PATCH", group),
        ("DELETE", group),
        ("GET", &members),
    ];
    assert_no_finding(Caller::Superuser, &requests).await;
}

#[tokio::test]
async fn schemathesis_finds_nothing_as_a_client() {
    let requests = [path::TOKEN, path::INTROSPECT, path::REVOKE].map(|path| ("POST", path));
    assert_no_finding(Caller::Client, &requests).await;
}
