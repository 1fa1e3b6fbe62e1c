//! `POST /api/v1/auth/login`

use insta::assert_json_snapshot;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, SUPERUSER, Session, path, superuser_password};
use latchkey_tests::forged_tokens::claim;
use reqwest::multipart::Form;

use super::assert_token_pair;

#[tokio::test]
async fn a_login_returns_both_tokens_and_sets_the_cookie() {
    let app = App::start().await;
    let user = app.create_user("john").await;

    let answer = app.post_login(&user.username, &user.password).await;

    let session = assert_token_pair(&answer, &user);
    app.me(&session.access).await.ok(200);
}

#[tokio::test]
async fn the_settings_determine_the_lifetimes() {
    let app = App::setup()
        .set("ACCESS_TOKEN_EXPIRE_MINUTES", "5")
        .set("REFRESH_TOKEN_EXPIRE_MINUTES", "90")
        .start()
        .await;

    let answer = app.post_login(SUPERUSER, &superuser_password()).await;

    let body = answer.ok(200);
    assert_eq!(body["access_token"]["expires_in"], 300);
    assert_eq!(body["refresh_token"]["expires_in"], 5400);
    assert!(answer.cookie().contains(&"Max-Age=5400".to_owned()));
    let session = Session::from_answer(&answer);
    for (token, seconds) in [(&session.access, 300), (&session.refresh, 5400)] {
        let [issued, expires] = ["iat", "exp"].map(|name| claim(token, name).as_i64().unwrap());
        assert_eq!(expires - issued, seconds);
    }
}

#[tokio::test]
async fn the_user_name_and_the_address_are_accepted_in_any_case() {
    let app = App::start().await;
    let user = app.create_user("Anna").await;

    for name in [
        user.username.clone(),
        user.username.to_uppercase(),
        user.username.to_lowercase(),
        user.email.clone(),
        user.email.to_uppercase(),
    ] {
        let answer = app.post_login(&name, &user.password).await;
        assert_eq!(answer.ok(200)["username"], user.username, "logged in as {name}");
    }
}

#[tokio::test]
async fn multipart_form_data_is_accepted() {
    let app = App::start().await;
    let form = Form::new().text("username", SUPERUSER).text("password", superuser_password());

    let answer = app.post(path::LOGIN).multipart(form).answer().await;

    assert_eq!(answer.ok(200)["username"], SUPERUSER);
}

#[tokio::test]
async fn every_login_starts_a_new_session() {
    let app = App::start().await;
    let (user, first) = app.new_session("twice").await;
    let second = app.log_in(&user).await;

    assert_ne!(claim(&first.access, "sid"), claim(&second.access, "sid"));
    assert_ne!(first.refresh, second.refresh);
    app.log_out(&first).await.ok(200);
    app.me(&second.access).await.ok(200);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_response() {
    let app = App::start().await;
    let user = app.create_user("known").await;

    let wrong = app.post_login(&user.username, "not the password").await;
    let unknown = app.post_login("nobody", "not the password").await;
    let unknown_address = app.post_login("nobody@example.test", "not the password").await;

    assert_json_snapshot!(wrong.problem(401), { ".instance" => "<request id>" });
    for other in [unknown, unknown_address] {
        let (mut expected, mut found) = (wrong.problem(401), other.problem(401));
        for problem in [&mut expected, &mut found] {
            problem.as_object_mut().unwrap().remove("instance");
        }
        assert_eq!(found, expected);
        assert_eq!(other.header("www-authenticate"), wrong.header("www-authenticate"));
        assert!(!other.sets_cookie());
    }
}

#[tokio::test]
async fn a_password_is_compared_as_given() {
    let app = App::start().await;
    let mut user = app.create_user("exact").await;
    user.password = format!("  Ünïcödé {}  ", user.password);
    user.username.push_str("-2");
    user.email = format!("2-{}", user.email);
    app.post_user(&latchkey_tests::app::new_user(&user)).await.ok(201);

    app.post_login(&user.username, &user.password).await.ok(200);
    for other in [user.password.trim(), &user.password.to_lowercase(), &format!("{} ", user.password)] {
        app.post_login(&user.username, other).await.problem(401);
    }
}

#[tokio::test]
async fn an_inactive_account_cannot_log_in_and_its_tokens_are_refused() {
    let app = App::start().await;
    let (user, session) = app.new_session("gone").await;
    let changed = app
        .database
        .execute_for("UPDATE users SET is_active = false WHERE username = $1", &user.username)
        .await;
    assert_eq!(changed, 1);

    // The status is only disclosed to a client that knows the password.
    app.post_login(&user.username, &user.password).await.problem(403);
    app.post_login(&user.username, "not the password").await.problem(401);
    app.me(&session.access).await.problem(401);
    app.refresh(&session).await.problem(401);
}

#[tokio::test]
async fn each_missing_field_is_listed() {
    let app = App::start().await;

    let nothing = app.post(path::LOGIN).form(&[("other", "1")]).answer().await;
    assert_json_snapshot!(nothing.problem(422), { ".instance" => "<request id>" });
    assert_eq!(nothing.invalid_fields(), ["username", "password"]);

    let no_password = app.post(path::LOGIN).form(&[("username", SUPERUSER)]).answer().await;
    assert_eq!(no_password.invalid_fields(), ["password"]);

    let form = Form::new().text("password", "something");
    let no_name = app.post(path::LOGIN).multipart(form).answer().await;
    assert_eq!(no_name.invalid_fields(), ["username"]);
}

#[tokio::test]
async fn another_content_type_gets_415() {
    let app = App::start().await;
    let json = serde_json::json!({ "username": SUPERUSER, "password": superuser_password() });

    app.post(path::LOGIN).json(&json).answer().await.problem(415);
    app.post(path::LOGIN).body("username=a&password=b").answer().await.problem(415);
    let text = app.post(path::LOGIN).header("content-type", "text/plain").body("username=a");
    text.answer().await.problem(415);
}
