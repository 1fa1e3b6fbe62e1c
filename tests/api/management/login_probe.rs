//! The login probe of each replica, if `LOGIN_PROBE_ENABLED` is set.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::wait;
use serde_json::Value;

async fn wait_for_login(app: &App, ready: bool) -> String {
    wait::until(&format!("a login probe with the outcome {ready}"), || async {
        let login: Value = app.server().status().await["dependencies"]["login"].clone();
        let message = login["message"].as_str().unwrap_or_default().to_owned();
        if login["ready"] == ready { Ok(message) } else { Err(login) }
    })
    .await
}

#[tokio::test]
async fn a_login_probe_leaves_no_rows() {
    let app = App::setup().set("LOGIN_PROBE_ENABLED", "true").start().await;
    wait_for_login(&app, true).await;
    let traces = "SELECT (SELECT count(*) FROM users WHERE username LIKE $1) + (SELECT count(*) FROM sessions)
        + (SELECT count(*) FROM refresh_tokens) + (SELECT count(*) FROM audit_events WHERE kind IN ('login', 'logout'))";
    assert_eq!(app.database.count(traces, "login-probe-%").await, 0);
    // The probe does not count in the metrics of logins.
    assert!(app.server().metric("latchkey_logins_total", &[]).await < 1.0);
    let me = app.superuser().await.access.clone();
    app.me(&me).await.ok(200);
}

#[tokio::test]
async fn accounts_of_interrupted_probes_are_deleted() {
    let mut app = App::start().await;
    let leftover = "INSERT INTO users (username, email, name, created_at)
        VALUES ($1 || '-1', $1 || '-1@' || $1 || '.invalid', 'x', now() - interval '2 hours'),
               ($1 || '-2', $1 || '-2@example.test', 'A user of that name', now() - interval '2 hours')";
    for prefix in ["canary", "login-probe"] {
        assert_eq!(app.database.execute_for(leftover, prefix).await, 2);
    }
    app.variables.insert("LOGIN_PROBE_ENABLED".to_owned(), "true".to_owned());
    app.restart(0).await;
    wait_for_login(&app, true).await;
    let left = "SELECT count(*) FROM users WHERE username LIKE $1";
    for prefix in ["canary", "login-probe"] {
        assert_eq!(app.database.count(left, &format!("{prefix}-%")).await, 1, "{prefix}");
    }
}

#[tokio::test]
async fn a_failed_probe_is_reported_and_the_server_remains_ready() {
    let mut app = App::start().await;
    app.database.execute("ALTER TABLE sessions ADD CONSTRAINT none CHECK (false) NOT VALID").await;
    app.variables.insert("LOGIN_PROBE_ENABLED".to_owned(), "true".to_owned());
    app.restart(0).await;
    let message = wait_for_login(&app, false).await;
    assert!(message.starts_with("logging in failed"), "{message}");
    assert_eq!(app.server().readiness().await.status, 200);
    assert_eq!(app.get(path::JWKS).answer().await.status, 200);
    let left = "SELECT count(*) FROM users WHERE username LIKE $1";
    assert_eq!(app.database.count(left, "login-probe-%").await, 0);
}
