//! `PATCH /api/v1/auth/me` and `GET /api/v1/auth/me/preferences`

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use serde_json::{Value, json};

async fn change(app: &App, access: &str, body: &Value) -> Answer {
    app.server().request("PATCH", path::ME).bearer_auth(access).json(body).answer().await
}

async fn locale(app: &App, access: &str) -> Value {
    let answer = app.get(path::PREFERENCES).bearer_auth(access).answer().await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.ok(200)["locale"].clone()
}

#[tokio::test]
async fn a_changed_name_is_returned_as_by_me() {
    let app = App::start().await;
    let (_, session) = app.new_session("john").await;
    let before = app.me(&session.access).await.ok(200);

    let answer = change(&app, &session.access, &json!({ "name": "  Johnny Döe " })).await;

    let mut expected = before.clone();
    expected["name"] = json!("Johnny Döe");
    assert_eq!(answer.ok(200), expected);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(app.me(&session.access).await.ok(200), expected);
    let audited = "SELECT detail::text FROM audit_events WHERE kind = $1";
    assert_eq!(app.database.text(audited, "profile_changed").await, r#"{"fields": ["name"]}"#);
}

#[tokio::test]
async fn the_language_can_be_set_and_unset() {
    let app = App::start().await;
    let (_, session) = app.new_session("john").await;
    assert_eq!(locale(&app, &session.access).await, Value::Null);
    change(&app, &session.access, &json!({ "locale": "PT-br" })).await.ok(200);
    assert_eq!(locale(&app, &session.access).await, "pt-BR");
    change(&app, &session.access, &json!({ "name": "John" })).await.ok(200);
    assert_eq!(locale(&app, &session.access).await, "pt-BR");
    change(&app, &session.access, &json!({ "locale": null })).await.ok(200);
    assert_eq!(locale(&app, &session.access).await, Value::Null);
}

#[tokio::test]
async fn an_empty_change_is_not_audited() {
    let app = App::start().await;
    let (_, session) = app.new_session("john").await;
    let before = app.me(&session.access).await.ok(200);
    assert_eq!(change(&app, &session.access, &json!({})).await.ok(200), before);
    let audited = "SELECT count(*) FROM audit_events WHERE kind = $1";
    assert_eq!(app.database.count(audited, "profile_changed").await, 0);
}

#[tokio::test]
async fn other_fields_of_the_account_cannot_be_changed() {
    let app = App::start().await;
    let (user, session) = app.new_session("john").await;
    for more in ["is_superuser", "is_active", "email", "username", "id", "password"] {
        let answer = change(&app, &session.access, &json!({ more: true })).await;
        assert_eq!(answer.invalid_fields(), ["body"], "{more}");
    }
    let me = app.me(&session.access).await.ok(200);
    assert_eq!((&me["is_superuser"], &me["email"]), (&json!(false), &json!(user.email)));
}

#[tokio::test]
async fn an_invalid_request_is_refused() {
    let app = App::start().await;
    let (user, session) = app.new_session("john").await;
    let fields = async |body| change(&app, &session.access, &body).await.invalid_fields();
    assert_eq!(fields(json!({ "name": " ", "locale": "x" })).await, ["name", "locale"]);
    assert_eq!(fields(json!({ "name": null })).await, ["name"]);
    assert_eq!(fields(json!({ "name": 1 })).await, ["name"]);
    assert_eq!(fields(json!({ "name": "a\u{0}b" })).await, ["name"]);
    assert_eq!(fields(json!({ "name": "é".repeat(201) })).await, ["name"]);
    assert_eq!(fields(json!([])).await, ["body"]);
    let patch = || app.server().request("PATCH", path::ME);
    patch().json(&json!({})).answer().await.problem(401);
    patch().bearer_auth(&session.access).body("{}").answer().await.problem(415);
    let broken = patch().bearer_auth(&session.access).header("content-type", "application/json").body("{");
    broken.answer().await.problem(400);
    let off = "UPDATE users SET is_active = false WHERE username = $1";
    app.database.execute_for(off, &user.username).await;
    change(&app, &session.access, &json!({ "name": "John" })).await.problem(401);
    app.get(path::PREFERENCES).bearer_auth(&session.access).answer().await.problem(401);
}
