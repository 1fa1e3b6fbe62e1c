//! `POST /api/v1/users`

use insta::assert_json_snapshot;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::logs::SECRET_MARK;
use serde_json::{Value, json};

/// A valid body.
fn john() -> Value {
    json!({
        "username": "john",
        "email": "John@Example.test",
        "name": "John Doe",
        "password": format!("{SECRET_MARK} of john"),
    })
}

fn john_with(member: &str, value: impl Into<Value>) -> Value {
    let mut body = john();
    body[member] = value.into();
    body
}

#[tokio::test]
async fn a_created_account_is_returned_with_its_location() {
    let app = App::start().await;

    let answer = app.post_user(&john()).await;

    assert_json_snapshot!(answer.ok(201), { ".id" => "<id>" }, @r#"
    {
      "email": "John@Example.test",
      "id": "<id>",
      "is_active": true,
      "is_superuser": false,
      "name": "John Doe",
      "username": "john"
    }
    "#);
    let id = answer.json()["id"].as_i64().expect("a number");
    assert_eq!(answer.header("location"), Some(format!("{}/{id}", path::USERS).as_str()));
    let session = app.log_in_as("john", &format!("{SECRET_MARK} of john")).await;
    assert_eq!(app.me(&session.access).await.ok(200), answer.json());
}

#[tokio::test]
async fn a_created_superuser_can_create_accounts() {
    let app = App::start().await;
    let answer = app.post_user(&john_with("is_superuser", true)).await;
    assert_eq!(answer.ok(201)["is_superuser"], true);

    let john = app.log_in_as("john", &format!("{SECRET_MARK} of john")).await;
    let body = json!({
        "username": "jane", "email": "jane@example.test", "name": "Jane", "password": format!("{SECRET_MARK} of jane"),
    });
    app.post(path::USERS).bearer_auth(&john.access).json(&body).answer().await.ok(201);
}

#[tokio::test]
async fn other_users_get_403() {
    let app = App::start().await;
    let (_, session) = app.new_session("plain").await;

    let by_user = app.post(path::USERS).bearer_auth(&session.access).json(&john()).answer().await;
    assert_json_snapshot!(by_user.problem(403), { ".instance" => "<request id>" });
    app.post(path::USERS).json(&john()).answer().await.problem(401);
    app.post(path::USERS).bearer_auth("nonsense").json(&john()).answer().await.problem(401);
    // An unauthorized client does not learn whether the body is valid.
    app.post(path::USERS).bearer_auth(&session.access).json(&json!({})).answer().await.problem(403);

    app.post_user(&john()).await.ok(201);
}

#[tokio::test]
async fn a_demoted_superuser_gets_403() {
    let app = App::start().await;
    app.post_user(&john()).await.ok(201);
    app.database.execute("UPDATE users SET is_superuser = false").await;
    let body = john_with("username", "jane");
    app.post_user(&body).await.problem(403);
}

#[tokio::test]
async fn each_missing_field_is_listed() {
    let app = App::start().await;
    let answer = app.post_user(&json!({})).await;
    assert_eq!(answer.invalid_fields(), ["username", "email", "name"]);
    for member in ["username", "email", "name", "password"] {
        // Without a password the owner is invited.
        if member != "password" {
            let mut body = john();
            body.as_object_mut().unwrap().remove(member);
            assert_eq!(app.post_user(&body).await.invalid_fields(), [member]);
        }
        assert_eq!(app.post_user(&john_with(member, 7)).await.invalid_fields(), [member]);
        assert_eq!(app.post_user(&john_with(member, Value::Null)).await.invalid_fields(), [member]);
    }
    assert_eq!(app.post_user(&john_with("is_superuser", "yes")).await.invalid_fields(), ["is_superuser"]);
}

#[tokio::test]
async fn valid_user_names_are_accepted() {
    let app = App::start().await;
    for (number, name) in ["a", "A.b_c-9", "-", ".", &"x".repeat(64)].into_iter().enumerate() {
        let mut body = john_with("username", name);
        body["email"] = format!("{number}@example.test").into();
        assert_eq!(app.post_user(&body).await.ok(201)["username"], name);
    }
}

#[tokio::test]
async fn invalid_user_names_are_refused() {
    let app = App::start().await;
    for name in ["", " ", "a b", "a@b", "a\u{0}b", "john\n", "a/b", "j\u{200b}ohn", &"x".repeat(65)] {
        assert_eq!(
            app.post_user(&john_with("username", name)).await.invalid_fields(),
            ["username"],
            "{name:?}"
        );
    }
}

#[tokio::test]
async fn invalid_addresses_are_refused() {
    let app = App::start().await;
    let too_long = format!("{}@example.test", "a".repeat(64 + 255));
    for address in [
        "",
        "john",
        "@example.test",
        "john@",
        "john@@example.test",
        "jo hn@example.test",
        "john@exa mple.test",
        "john@example.test\r\nBcc: all@example.test",
        "john@example.test\u{0}",
        "<john@example.test>",
        &too_long,
    ] {
        assert_eq!(
            app.post_user(&john_with("email", address)).await.invalid_fields(),
            ["email"],
            "{address:?}"
        );
    }
}

#[tokio::test]
async fn display_names_with_control_characters_are_refused() {
    let app = App::start().await;
    for name in ["a\u{0}b", "a\r\nBcc: all@example.test", &"x".repeat(5000)] {
        assert_eq!(app.post_user(&john_with("name", name)).await.invalid_fields(), ["name"], "{name:.20?}");
    }
    assert_eq!(app.post_user(&john_with("name", "Jörg Ñandú 李")).await.ok(201)["name"], "Jörg Ñandú 李");
}

#[tokio::test]
async fn a_malformed_body_is_refused() {
    let app = App::start().await;
    let access = &app.superuser().await.access;
    let request = || app.post(path::USERS).bearer_auth(access);
    request().header("content-type", "application/json").body("{\"username\":").answer().await.problem(400);
    request().body("{}").answer().await.problem(415);
    request().form(&[("username", "john")]).answer().await.problem(415);
}
