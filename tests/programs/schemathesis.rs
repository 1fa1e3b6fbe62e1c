//! Schemathesis checks the server against its OpenAPI document, with valid and invalid input, as a superuser and
//! without a token.

use std::process::Command;

use latchkey_tests::app::{App, SUPERUSER, superuser_password};
use latchkey_tests::process::run;
use latchkey_tests::programs::workspace;
use latchkey_tests::smtp::Smtp;
use tokio::sync::Mutex;

use crate::verifiers::prepared;

/// Both runs use all cores, so that they take no longer one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

async fn assert_no_finding(superuser: bool) {
    let _turn = ONE_AT_A_TIME.lock().await;
    // Every feature is enabled, so that no endpoint only refuses; rate limits are disabled.
    let app = App::setup()
        .mail(Smtp::Plain)
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
    if superuser {
        command.env("LATCHKEY_USERNAME", SUPERUSER).env("LATCHKEY_PASSWORD", superuser_password());
    }
    let output = run(&mut command);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn schemathesis_finds_nothing_without_a_token() {
    assert_no_finding(false).await;
}

#[tokio::test]
async fn schemathesis_finds_nothing_as_a_superuser() {
    assert_no_finding(true).await;
}
