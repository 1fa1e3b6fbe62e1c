//! `POST /api/v1/auth/reset-password`

use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answer, Answered, admitted};
use latchkey_tests::app::{App, User, path};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use serde_json::json;

async fn app_with_mail() -> App {
    App::setup().mail(Smtp::Plain).start().await
}

/// Requests a recovery and returns the token in the e-mail with this number, from 1, to the user.
async fn request_token(app: &App, user: &User, number: usize) -> String {
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let mail = app.mail().wait_for(&user.email, number).await;
    mail[number - 1].token()
}

async fn reset(app: &App, token: &str, password: &str) -> Answer {
    app.post(path::RESET).json(&json!({ "token": token, "new_password": password })).answer().await
}

fn new_password() -> String {
    format!("{SECRET_MARK} new one")
}

#[tokio::test]
async fn a_reset_sets_the_password_and_ends_every_session() {
    let app = app_with_mail().await;
    let (user, session) = app.new_session("forgetful").await;
    let other = app.log_in(&user).await;
    let (_, other_user) = app.new_session("other-user").await;
    let token = request_token(&app, &user, 1).await;

    let answer = reset(&app, &token, &new_password()).await;

    assert_json_snapshot!(answer.ok(200));
    for session in [&session, &other] {
        app.me(&session.access).await.problem(401);
        app.refresh(session).await.problem(401);
    }
    app.post_login(&user.username, &user.password).await.problem(401);
    app.post_login(&user.username, &new_password()).await.ok(200);
    app.me(&other_user.access).await.ok(200);
}

#[tokio::test]
async fn a_token_is_valid_once() {
    let app = app_with_mail().await;
    let user = app.create_user("once").await;
    let token = request_token(&app, &user, 1).await;
    reset(&app, &token, &new_password()).await.ok(200);

    let again = reset(&app, &token, &format!("{} again", new_password())).await;

    assert_json_snapshot!(again.problem(422), { ".instance" => "<request id>" });
    app.post_login(&user.username, &new_password()).await.ok(200);
}

#[tokio::test]
async fn one_of_several_concurrent_requests_succeeds() {
    let app = app_with_mail().await;
    let user = app.create_user("race").await;
    let token = request_token(&app, &user, 1).await;

    let passwords: Vec<_> = (0..6).map(|number| format!("{} {number}", new_password())).collect();
    let answers = futures::future::join_all(
        passwords.iter().map(|password| admitted(|| reset(&app, &token, password))),
    )
    .await;

    let won: Vec<_> = answers.iter().zip(&passwords).filter(|(answer, _)| answer.status == 200).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    app.post_login(&user.username, won[0].1).await.ok(200);
}

#[tokio::test]
async fn a_newer_email_invalidates_the_older_one() {
    let app = app_with_mail().await;
    let user = app.create_user("impatient").await;
    let older = request_token(&app, &user, 1).await;
    let newer = request_token(&app, &user, 2).await;
    assert_ne!(older, newer);

    reset(&app, &older, &new_password()).await.problem(422);
    reset(&app, &newer, &new_password()).await.ok(200);
}

#[tokio::test]
async fn a_token_expires() {
    let app = app_with_mail().await;
    let user = app.create_user("late").await;
    let token = request_token(&app, &user, 1).await;
    let sql = "UPDATE one_time_tokens SET expires_at = now() - interval '1 second' WHERE user_id = \
               (SELECT id FROM users WHERE username = $1)";
    assert_eq!(app.database.execute_for(sql, &user.username).await, 1);

    reset(&app, &token, &new_password()).await.problem(422);
    app.post_login(&user.username, &user.password).await.ok(200);
}

#[tokio::test]
async fn a_token_is_stored_hashed() {
    let app = app_with_mail().await;
    let user = app.create_user("hashed").await;
    let token = request_token(&app, &user, 1).await;
    let dump = "SELECT string_agg(t::text, ' ') FROM one_time_tokens t WHERE user_id = \
                (SELECT id FROM users WHERE username = $1)";
    let stored = app.database.text(dump, &user.username).await;
    assert!(!stored.contains(&token), "{stored}");
}

#[tokio::test]
async fn the_token_remains_valid_after_a_refused_password() {
    let app = app_with_mail().await;
    let user = app.create_user("choosy").await;
    let token = request_token(&app, &user, 1).await;

    for password in ["short", "password123", &user.username, &user.email, &"a".repeat(257)] {
        let answer = reset(&app, &token, password).await;
        assert_eq!(answer.invalid_fields(), ["new_password"], "{password}");
    }
    reset(&app, &token, &new_password()).await.ok(200);
}

#[tokio::test]
async fn an_unknown_token_is_refused() {
    let app = app_with_mail().await;
    for token in ["nonsense", "", "\u{0}", &"a".repeat(5000)] {
        reset(&app, token, &new_password()).await.problem(422);
    }
}

#[tokio::test]
async fn a_reset_ends_the_sessions_on_every_replica_immediately() {
    let app = App::setup().mail(Smtp::Plain).replicas(2).start().await;
    let (user, session) = app.new_session("spread").await;
    let token = request_token(&app, &user, 1).await;
    app.me_at(1, &session.access).await.ok(200);

    reset(&app, &token, &new_password()).await.ok(200);

    app.me_at(1, &session.access).await.problem(401);
    app.refresh_at(1, &session).await.problem(401);
}

#[tokio::test]
async fn a_malformed_body_is_refused() {
    let app = app_with_mail().await;
    let nothing = app.post(path::RESET).json(&json!({})).answer().await;
    assert_eq!(nothing.invalid_fields(), ["token", "new_password"]);
    let broken = app.post(path::RESET).header("content-type", "application/json").body("{");
    broken.answer().await.problem(400);
    app.post(path::RESET).body("{}").answer().await.problem(415);
}
