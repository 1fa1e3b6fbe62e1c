//! OAuth client libraries log in, refresh, introspect and revoke, and verify our access tokens as RFC 9068 says.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use latchkey_tests::app::{App, ISSUER};
use latchkey_tests::programs::workspace;
use serde_json::{Value, json};

use crate::verifiers::prepared;

const SECRET: &str = "NeverLogged-0123456789abcdef0123456789abcdef";

/// Runs a program with this input and returns what it printed.
fn ask(program: &PathBuf, script: &str, folder: &PathBuf, input: &Value) -> Value {
    let mut command = Command::new(program);
    command.arg(workspace().join(script)).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn start() -> (App, Value) {
    let app = App::setup()
        .set("INTROSPECTION_CLIENT_ID", "gateway")
        .set("INTROSPECTION_CLIENT_SECRET", SECRET)
        .start()
        .await;
    let (user, session) = app.new_session("library").await;
    let input = json!({
        "api": app.server().api, "issuer": ISSUER, "audience": ISSUER, "username": user.username,
        "password": user.password, "refresh": session.refresh, "client_id": "gateway", "client_secret": SECRET,
    });
    (app, input)
}

#[tokio::test]
async fn openid_client_and_oauth4webapi() {
    let (_app, input) = start().await;
    let seen = ask(&"node".into(), "tests/programs/node/client.mjs", &prepared("node"), &input);

    let openid = &seen["openid_client"];
    assert_eq!(openid["token_type"], "bearer");
    for (refusal, error) in [
        ("wrong_password", "invalid_grant"),
        ("refused_refresh", "invalid_grant"),
        ("ended", "invalid_grant"),
        ("refused_grant", "unsupported_grant_type"),
    ] {
        assert_eq!(
            openid[refusal],
            json!({ "name": "ResponseBodyError", "error": error, "status": 400 }),
            "{seen}"
        );
    }
    // RFC 6749 §5.2: here the challenge is what they look at.
    assert_eq!(openid["refused_client"]["status"], 401, "{seen}");
    assert_eq!((&openid["active"]["active"], &openid["active"]["client_id"]), (&json!(true), &json!("web")));
    assert_eq!(openid["revoked"], json!({ "active": false }));

    let oauth = &seen["oauth4webapi"];
    assert_eq!(oauth["claims"]["client_id"], "web", "{seen}");
    assert_ne!(oauth["refresh_token"], "none");
    assert_ne!(oauth["other_audience"], "none");
    for refusal in ["wrong_password", "refused_refresh"] {
        let expected = json!({ "name": "ResponseBodyError", "error": "invalid_grant", "status": 400 });
        assert_eq!(oauth[refusal], expected, "{seen}");
    }
}

#[tokio::test]
async fn golang_oauth2() {
    let (_app, input) = start().await;
    let folder = prepared("go");
    let seen = ask(&folder.join("client"), "tests/programs/go/main.go", &folder, &input);

    assert_eq!(seen["token_type"], "bearer", "{seen}");
    for refusal in ["wrong_password", "refused_refresh"] {
        assert_eq!(seen[refusal], json!({ "error": "invalid_grant", "status": 400 }), "{seen}");
    }
}

#[tokio::test]
async fn authlib() {
    let (_app, input) = start().await;
    let folder = prepared("python");
    let seen = ask(&folder.join("bin/python"), "tests/programs/python/client.py", &folder, &input);

    for refusal in ["wrong_password", "refused_refresh", "ended"] {
        assert_eq!(seen[refusal], "invalid_grant", "{refusal}: {seen}");
    }
    assert_eq!(seen["claims"]["client_id"], "web", "{seen}");
    for refusal in ["other_audience", "refresh_token"] {
        assert_eq!(seen[refusal], "invalid_token", "{refusal}: {seen}");
    }
    assert_eq!((&seen["active"]["active"], &seen["active"]["client_id"]), (&json!(true), &json!("web")));
    assert_eq!(seen["revoked"], json!({ "active": false }));
}
