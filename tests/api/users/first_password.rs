//! The first password of an account that an administrator creates.

use insta::assert_json_snapshot;
use latchkey_tests::app::App;
use latchkey_tests::smtp::Smtp;
use serde_json::{Value, json};

use super::{audited, named, seen, send, watch_outbox};

fn with(name: &str, member: &str, value: impl Into<Value>) -> Value {
    let mut body = named(name);
    body[member] = value.into();
    body
}

#[tokio::test]
async fn an_account_without_a_password_is_invited_and_cannot_log_in() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    watch_outbox(&app).await;

    let made = app.post_user(&with("guest", "locale", "de")).await;

    assert_json_snapshot!(made.ok(201), { ".id" => "<id>" });
    let id = made.json()["id"].as_i64().unwrap();
    assert_eq!(seen(&app, "invitation", "guest@example.test").await, 1);
    assert_eq!(audited(&app, "user_invited", "success", id).await, 1);
    let account = send(&app, "GET", &format!("/{id}")).await.ok(200);
    assert_eq!((&account["email_verified"], &account["locale"]), (&json!(false), &json!("de")));
    for password in ["", " ", "guest", "null"] {
        let status = app.post_login("guest", password).await.status;
        assert!([401, 422].contains(&status), "{status}");
    }
}

#[tokio::test]
async fn an_invitation_without_an_smtp_server_gets_503() {
    let app = App::start().await;
    assert_json_snapshot!(app.post_user(&named("guest")).await.problem(503), { ".instance" => "<request id>" });
    assert_eq!(app.database.count("SELECT count(*) FROM users WHERE username = $1", "guest").await, 0);
}

#[tokio::test]
async fn a_setting_forbids_passwords_that_an_administrator_chooses() {
    let app = App::setup().mail(Smtp::Plain).set("ADMIN_PASSWORDS_ENABLED", "false").start().await;
    let chosen = app.post_user(&with("guest", "password", "NeverLogged of a guest")).await;
    assert_eq!(chosen.invalid_fields(), ["password"]);
    app.post_user(&named("guest")).await.ok(201);
}

#[tokio::test]
async fn invalid_hashes_and_locales_are_listed() {
    let app = App::start().await;
    let mut both = with("guest", "password", "NeverLogged of a guest");
    both["password_hash"] = "$2b$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m".into();
    assert_eq!(app.post_user(&both).await.invalid_fields(), ["password_hash"]);
    for (member, value) in [
        ("password_hash", json!("5f4dcc3b5aa765d61d8327deb882cf99")),
        ("password_hash", json!("$2b$31$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m")),
        ("password_hash", Value::Null),
        ("locale", json!("en_US")),
        ("locale", json!(7)),
    ] {
        let answer = app.post_user(&with("guest", member, value.clone())).await;
        assert_eq!(answer.invalid_fields(), [member], "{value}");
        assert!(!answer.body.contains("5f4dcc"), "a hash is not repeated");
    }
}
