//! `POST /api/v1/auth/me/password`

use futures::future::join_all;
use latchkey_tests::answer::{Answer, Answered, admitted};
use latchkey_tests::app::{App, Session, User, path};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use serde_json::{Value, json};

async fn change(app: &App, session: &Session, body: &Value) -> Answer {
    app.post(path::MY_PASSWORD).bearer_auth(&session.access).json(body).answer().await
}

fn new_password() -> String {
    format!("{SECRET_MARK} new one")
}

fn body(user: &User) -> Value {
    json!({ "current_password": user.password, "new_password": new_password() })
}

#[tokio::test]
async fn the_password_is_changed_and_the_other_sessions_end_on_every_replica() {
    let app = App::setup().mail(Smtp::Plain).replicas(2).start().await;
    let (user, session) = app.new_session("john").await;
    let other = app.log_in(&user).await;
    let (_, other_user) = app.new_session("other-user").await;
    app.me_at(1, &other.access).await.ok(200);

    let answer = change(&app, &session, &body(&user)).await;

    assert_eq!(answer.ok(200), json!({ "message": "Password updated successfully." }));
    app.me_at(1, &other.access).await.problem(401);
    app.refresh_at(1, &other).await.problem(401);
    app.me_at(1, &session.access).await.ok(200);
    app.refresh(&session).await.ok(200);
    app.me(&other_user.access).await.ok(200);
    app.post_login(&user.username, &user.password).await.problem(401);
    app.post_login(&user.username, &new_password()).await.ok(200);
    app.mail().wait_for(&user.email, 1).await;
}

#[tokio::test]
async fn the_other_sessions_remain_on_request() {
    let app = App::start().await;
    let (user, session) = app.new_session("john").await;
    let other = app.log_in(&user).await;
    let mut body = body(&user);
    body["keep_other_sessions"] = json!(true);
    change(&app, &session, &body).await.ok(200);
    app.me(&other.access).await.ok(200);
    app.refresh(&other).await.ok(200);
    app.post_login(&user.username, &user.password).await.problem(401);
}

#[tokio::test]
async fn a_wrong_current_password_changes_nothing_and_is_audited() {
    let app = App::start().await;
    let (user, session) = app.new_session("john").await;
    for wrong in [format!("{SECRET_MARK} wrong"), String::new(), "x".repeat(2000)] {
        let body = json!({ "current_password": wrong, "new_password": new_password() });
        assert_eq!(change(&app, &session, &body).await.invalid_fields(), ["current_password"]);
    }
    app.me(&session.access).await.ok(200);
    app.post_login(&user.username, &user.password).await.ok(200);
    let refused = "SELECT count(*) FROM audit_events WHERE kind = 'password_changed' AND outcome = 'refused'
                   AND detail ->> 'reason' = 'wrong_password' AND user_id =
                   (SELECT id FROM users WHERE username = $1)";
    assert_eq!(app.database.count(refused, &user.username).await, 3);
}

#[tokio::test]
async fn a_new_password_that_breaks_the_rules_is_refused() {
    let app = App::start().await;
    let (user, session) = app.new_session("john").await;
    for refused in ["short", "password123", &user.username, &user.email, &"a".repeat(257)] {
        let body = json!({ "current_password": user.password, "new_password": refused });
        assert_eq!(change(&app, &session, &body).await.invalid_fields(), ["new_password"], "{refused}");
    }
}

#[tokio::test]
async fn one_of_several_concurrent_requests_succeeds() {
    let app = App::start().await;
    let (user, session) = app.new_session("john").await;
    let bodies: Vec<_> = (0..5)
        .map(|n| json!({ "current_password": user.password, "new_password": format!("{} {n}", new_password()) }))
        .collect();
    let answers = join_all(bodies.iter().map(|body| admitted(|| change(&app, &session, body)))).await;
    let won: Vec<_> = answers.iter().zip(&bodies).filter(|(answer, _)| answer.status == 200).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    app.log_in_as(&user.username, won[0].1["new_password"].as_str().unwrap()).await;
}

#[tokio::test]
async fn links_that_were_mailed_before_become_invalid() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (user, session) = app.new_session("john").await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let reset = app.mail().wait_for(&user.email, 1).await[0].token();
    let asked = json!({ "password": user.password, "email": "new@example.test" });
    app.post(path::MY_EMAIL).bearer_auth(&session.access).json(&asked).answer().await.ok(202);
    let confirm = app.mail().wait_for("new@example.test", 1).await[0].token();

    change(&app, &session, &body(&user)).await.ok(200);

    let body = json!({ "token": reset, "new_password": format!("{SECRET_MARK} stale") });
    app.post(path::RESET).json(&body).answer().await.problem(422);
    app.post(path::CONFIRM_EMAIL).json(&json!({ "token": confirm })).answer().await.problem(422);
}

#[tokio::test]
async fn an_invalid_request_is_refused() {
    let app = App::start().await;
    let (user, session) = app.new_session("john").await;
    let nothing = change(&app, &session, &json!({})).await;
    assert_eq!(nothing.invalid_fields(), ["current_password", "new_password"]);
    let mut typo = body(&user);
    typo["keep_sessions"] = json!(true);
    assert_eq!(change(&app, &session, &typo).await.invalid_fields(), ["body"]);
    app.post(path::MY_PASSWORD).json(&body(&user)).answer().await.problem(401);
    let cookie = format!("refresh_token={}", session.refresh);
    app.post(path::MY_PASSWORD).header("cookie", cookie).json(&body(&user)).answer().await.problem(401);
    let plain = app.post(path::MY_PASSWORD).bearer_auth(&session.access).body("{}");
    plain.answer().await.problem(415);
}
