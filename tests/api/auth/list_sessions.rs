//! `GET /api/v1/auth/sessions`

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, Session, path};
use serde_json::Value;

pub async fn list(app: &App, session: &Session) -> Vec<Value> {
    let answer = app.get(path::SESSIONS).bearer_auth(&session.access).answer().await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.ok(200)["sessions"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_session_is_listed_with_its_address_user_agent_and_times() {
    let app = App::setup().set("TRUSTED_PROXIES", "127.0.0.0/8").start().await;
    let user = app.create_user("john").await;
    let form = [("username", user.username.as_str()), ("password", user.password.as_str())];
    let login = app.post(path::LOGIN).header("user-agent", "Firefox on a train").form(&form);
    let login = login.header("x-forwarded-for", "2001:db8::7").answer().await;
    let (train, home) = (Session::from_answer(&login), app.log_in(&user).await);

    let sessions = list(&app, &home).await;

    assert_eq!(sessions.len(), 2);
    assert_eq!((&sessions[0]["current"], &sessions[1]["current"]), (&Value::Bool(true), &Value::Bool(false)));
    let other = &sessions[1];
    assert_eq!(
        (&other["address"], &other["user_agent"]),
        (&"2001:db8::7".into(), &"Firefox on a train".into())
    );
    for time in ["created_at", "last_used_at"] {
        let text = other[time].as_str().expect("a time");
        assert!(text.contains('T') && text.ends_with('Z'), "RFC 3339 in UTC: {text}");
    }
    let names: Vec<_> = other.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["address", "created_at", "current", "id", "last_used_at", "user_agent"]);
    let seen = list(&app, &train).await;
    assert_eq!((&seen[0]["id"], &seen[0]["current"]), (&other["id"], &Value::Bool(true)));
}

#[tokio::test]
async fn a_refresh_updates_the_time_of_the_last_use() {
    let app = App::start().await;
    let (_, session) = app.new_session("john").await;
    let before = list(&app, &session).await.remove(0);
    let session = Session::from_answer(&app.refresh(&session).await);
    let after = list(&app, &session).await.remove(0);
    assert_eq!((&before["id"], &before["created_at"]), (&after["id"], &after["created_at"]));
    assert!(after["last_used_at"].as_str() > before["last_used_at"].as_str(), "{before} {after}");
}

#[tokio::test]
async fn only_open_sessions_of_the_own_account_are_listed() {
    let app = App::start().await;
    let (user, session) = app.new_session("john").await;
    let ended = app.log_in(&user).await;
    app.log_out(&ended).await.ok(200);
    app.log_in(&user).await;
    let expire =
        "UPDATE sessions SET expires_at = now() WHERE created_at = (SELECT max(created_at) FROM sessions
                  WHERE user_id = (SELECT id FROM users WHERE username = $1))";
    app.database.execute_for(expire, &user.username).await;
    app.new_session("other-user").await;
    assert_eq!(list(&app, &session).await.len(), 1);
}

#[tokio::test]
async fn a_request_without_a_token_gets_401() {
    let app = App::start().await;
    app.get(path::SESSIONS).answer().await.problem(401);
    let (_, session) = app.new_session("john").await;
    app.log_out(&session).await.ok(200);
    app.get(path::SESSIONS).bearer_auth(&session.access).answer().await.problem(401);
}
