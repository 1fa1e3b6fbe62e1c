//! `POST /api/v1/auth/logout-all`

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, path};
use serde_json::json;

async fn log_out_everywhere(app: &App, session: &Session) -> Answer {
    app.post(path::LOGOUT_ALL).bearer_auth(&session.access).answer().await
}

#[tokio::test]
async fn every_session_of_the_account_ends_on_every_replica() {
    let app = App::setup().replicas(2).start().await;
    let (user, session) = app.new_session("john").await;
    let (_, other_user) = app.new_session("other-user").await;
    let all = [session.clone(), app.log_in(&user).await, app.log_in(&user).await];
    for session in &all {
        app.me_at(1, &session.access).await.ok(200);
    }

    let answer = log_out_everywhere(&app, &session).await;

    assert_eq!(answer.ok(200), json!({ "message": "Logged out everywhere." }));
    assert_eq!(answer.cookie()[0], "refresh_token=");
    for session in &all {
        app.me_at(1, &session.access).await.problem(401);
        app.refresh_at(1, session).await.problem(401);
    }
    app.me(&other_user.access).await.ok(200);
    app.log_in(&user).await;
    let audited = "SELECT count(*) FROM audit_events WHERE kind = $1";
    assert_eq!(app.database.count(audited, "logout_all").await, 1);
}

#[tokio::test]
async fn the_sessions_remain_ended_after_redis_is_flushed() {
    let app = App::start().await;
    let (user, session) = app.new_session("john").await;
    let other = app.log_in(&user).await;
    log_out_everywhere(&app, &session).await.ok(200);
    app.redis.flush().await;
    app.me(&session.access).await.problem(401);
    app.me(&other.access).await.problem(401);
}

#[tokio::test]
async fn a_request_without_a_token_gets_401() {
    let app = App::start().await;
    let (_, session) = app.new_session("john").await;
    let cookie = format!("refresh_token={}", session.refresh);
    app.post(path::LOGOUT_ALL).header("cookie", cookie).answer().await.problem(401);
    app.me(&session.access).await.ok(200);
}
