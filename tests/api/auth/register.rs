//! `POST /api/v1/auth/register`

use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Setup, path};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use serde_json::{Value, json};

pub fn open() -> Setup {
    App::setup().mail(Smtp::Plain).set("REGISTRATION_ENABLED", "true")
}

pub fn password() -> String {
    format!("{SECRET_MARK} chosen by me")
}

pub fn body(username: &str, email: &str) -> Value {
    json!({ "username": username, "email": email, "name": "John Doe", "password": password() })
}

pub async fn register(app: &App, body: &Value) -> Answer {
    app.post(path::REGISTER).json(body).answer().await
}

pub async fn verify(app: &App, token: &str) -> Answer {
    app.post(path::VERIFY_EMAIL).json(&json!({ "token": token })).answer().await
}

#[tokio::test]
async fn a_registered_account_can_log_in_after_its_address_is_verified() {
    let app = open().start().await;

    let answer = register(&app, &body("john", "John@Example.test")).await;

    assert_json_snapshot!(answer.ok(202), @r#"
    {
      "message": "A mail to this address tells how to go on."
    }
    "#);
    let mail = app.mail().wait_for("John@Example.test", 1).await.remove(0);
    assert_eq!(mail.link().path(), "/verify-email");
    // Only a client that knows the password learns that the address is not verified.
    app.post_login("john", "not the password").await.problem(401);
    let refused = app.post_login("john", &password()).await.problem(403);
    assert!(refused["detail"].as_str().unwrap().contains("verified"), "{refused}");

    verify(&app, &mail.token()).await.ok(200);

    let session = app.log_in_as("john@example.TEST", &password()).await;
    assert_json_snapshot!(app.me(&session.access).await.ok(200), { ".id" => "<id>" }, @r#"
    {
      "email": "John@Example.test",
      "id": "<id>",
      "is_active": true,
      "is_superuser": false,
      "name": "John Doe",
      "username": "john"
    }
    "#);
}

#[tokio::test]
async fn registration_is_disabled_by_default() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let answer = register(&app, &body("john", "john@example.test")).await;
    assert!(answer.problem(403)["detail"].as_str().unwrap().contains("not open"), "{answer:?}");
    app.post(path::REGISTER).body("{").answer().await.problem(403);
    assert_eq!(app.database.count("SELECT count(*) FROM users WHERE username = $1", "john").await, 0);
}

#[tokio::test]
async fn only_addresses_of_the_allowed_domains_are_accepted() {
    let app = open().set("REGISTRATION_EMAIL_DOMAINS", "example.test, example.org").start().await;
    for outside in ["j@example.com", "j@sub.example.test", "j@notexample.test", "example.test@evil.test"] {
        let answer = register(&app, &body("john", outside)).await;
        assert_eq!(answer.invalid_fields(), ["email"], "{outside}");
    }
    register(&app, &body("john", "john@EXAMPLE.org")).await.ok(202);
    app.mail().wait_for("john@EXAMPLE.org", 1).await;
}

#[tokio::test]
async fn each_invalid_field_is_listed() {
    let app = open().start().await;
    let wrong = json!({
        "username": "a b", "email": "nowhere", "name": "", "password": "x", "locale": "no language",
    });
    let answer = register(&app, &wrong).await;
    assert_eq!(answer.invalid_fields(), ["username", "email", "name", "locale"]);
    let missing = register(&app, &json!({})).await;
    assert_eq!(missing.invalid_fields(), ["username", "email", "name", "password"]);
    for weak in ["short", "password123", "john@example.test", &"a".repeat(257)] {
        let mut body = body("john", "john@example.test");
        body["password"] = json!(weak);
        assert_eq!(register(&app, &body).await.invalid_fields(), ["password"], "{weak}");
    }
    let mut more = body("john", "john@example.test");
    more["is_superuser"] = json!(true);
    assert_eq!(register(&app, &more).await.invalid_fields(), ["body"]);
    app.post(path::REGISTER).body("{}").answer().await.problem(415);
    let broken = app.post(path::REGISTER).header("content-type", "application/json").body("{");
    broken.answer().await.problem(400);
}

#[tokio::test]
async fn the_language_is_the_given_one_or_that_of_the_browser() {
    let app = open().set("UNVERIFIED_LOGIN_ENABLED", "true").start().await;
    let register = async |name: &str, locale: Option<&str>, accept: Option<&str>| {
        let mut body = body(name, &format!("{name}@example.test"));
        if let Some(locale) = locale {
            body["locale"] = json!(locale);
        }
        let mut request = app.post(path::REGISTER).json(&body);
        if let Some(accept) = accept {
            request = request.header("accept-language", accept);
        }
        request.answer().await.ok(202);
        let session = app.log_in_as(name, &password()).await;
        app.get(path::PREFERENCES).bearer_auth(&session.access).answer().await.ok(200)["locale"].clone()
    };
    assert_eq!(register("one", Some("pt-br"), Some("fr")).await, "pt-BR");
    assert_eq!(register("two", None, Some("en;q=0.5, fr-CA, *;q=0.1")).await, "fr-CA");
    assert_eq!(register("three", None, None).await, Value::Null);
    assert_eq!(register("four", None, Some("no language;q=x,,;")).await, Value::Null);
}

#[tokio::test]
async fn a_setting_allows_logins_before_the_address_is_verified() {
    let app = open().set("UNVERIFIED_LOGIN_ENABLED", "true").start().await;
    register(&app, &body("john", "john@example.test")).await.ok(202);
    app.log_in_as("john", &password()).await;
}

#[tokio::test]
async fn registrations_are_audited_and_counted() {
    let app = open().start().await;
    register(&app, &body("john", "john@example.test")).await.ok(202);
    register(&app, &body("john", "other@example.test")).await.ok(202);
    let outcomes = "SELECT string_agg(outcome || ' ' || coalesce(detail ->> 'reason', '-'), ', ' ORDER BY id)
                    FROM audit_events WHERE kind = $1";
    let found = app.database.text(outcomes, "registered").await;
    assert_eq!(found, "success -, refused username_taken");
    let count = async |outcome: &str| {
        let labels = ["kind=\"registered\"", outcome];
        app.server().metric("latchkey_audit_events_total", &labels).await.to_string()
    };
    assert_eq!(count("success").await, "1");
    assert_eq!(count("refused").await, "1");
}
