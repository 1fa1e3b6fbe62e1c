//! `POST /api/v1/auth/refresh`: the accepted tokens. `refresh_reuse.rs` tests tokens that were exchanged before.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, path};
use latchkey_tests::forged_tokens::{Forged, claim};
use serde_json::{Value, json};

use super::assert_token_pair;

/// The signing key of an app.
fn signing_key(app: &App) -> Value {
    let text = std::fs::read_to_string(app.keys.path()).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["keys"][0].clone()
}

fn expired(token: &str) -> Forged {
    let now = chrono::Utc::now().timestamp();
    Forged::from_token(token).claim("exp", now - 3600).claim("iat", now - 7200).claim("nbf", now - 7200)
}

async fn post(app: &App, access: &str, body: &Value) -> Answer {
    app.post(path::REFRESH).bearer_auth(access).json(body).answer().await
}

#[tokio::test]
async fn a_refresh_returns_new_tokens_and_sets_the_cookie() {
    let app = App::start().await;
    let (user, old) = app.new_session("john").await;

    let answer = app.refresh(&old).await;

    let new = assert_token_pair(&answer, &user);
    assert_ne!(new.refresh, old.refresh);
    assert_ne!(new.access, old.access);
    assert_eq!(claim(&new.access, "sid"), claim(&old.access, "sid"), "the session stays the same");
    app.me(&new.access).await.ok(200);
    app.me(&old.access).await.ok(200);
}

#[tokio::test]
async fn the_lifetime_in_the_request_is_ignored() {
    let app = App::start().await;
    let (_, session) = app.new_session("liar").await;
    let body = json!({ "token": session.refresh, "expires_in": 99_999_999, "token_type": "bearer" });

    let answer = post(&app, &session.access, &body).await;

    assert_eq!(answer.ok(200)["refresh_token"]["expires_in"], 31_536_000);
}

#[tokio::test]
async fn an_expired_access_token_is_accepted_only_for_a_refresh() {
    let app = App::start().await;
    let (_, session) = app.new_session("late").await;
    let access = expired(&session.access).sign(&signing_key(&app));
    let late = Session { access, refresh: session.refresh };

    app.me(&late.access).await.problem(401);
    app.log_out(&late).await.problem(401);
    let new = Session::from_answer(&app.refresh(&late).await);
    app.me(&new.access).await.ok(200);
}

#[tokio::test]
async fn an_expired_access_token_of_an_ended_session_is_refused() {
    let app = App::start().await;
    let (_, session) = app.new_session("late-and-out").await;
    let access = expired(&session.access).sign(&signing_key(&app));
    app.log_out(&session).await.ok(200);
    app.refresh(&Session { access, refresh: session.refresh }).await.problem(401);
}

#[tokio::test]
async fn an_access_token_with_any_other_fault_is_refused() {
    let app = App::start().await;
    let (_, session) = app.new_session("forger").await;
    let key = signing_key(&app);
    let valid = Forged::from_token(&session.access);
    for (fault, access) in [
        (
            "a signature of another key",
            expired(&session.access).sign(&latchkey_tests::key_set::generate("ES256")),
        ),
        ("no signature", expired(&session.access).header("alg", "none").unsigned()),
        ("another issuer", expired(&session.access).claim("iss", "https://evil.example.test").sign(&key)),
        ("another audience", valid.clone().claim("aud", "https://evil.example.test").sign(&key)),
        ("not yet valid", valid.claim("nbf", chrono::Utc::now().timestamp() + 3600).sign(&key)),
        ("the refresh token itself", session.refresh.clone()),
        ("nonsense", "nonsense".to_owned()),
    ] {
        let answer = app.refresh(&Session { access, refresh: session.refresh.clone() }).await;
        assert_eq!(answer.status, 401, "{fault}: {}", answer.body);
        answer.problem(401);
    }
    app.refresh(&session).await.ok(200);
}

#[tokio::test]
async fn a_request_without_an_access_token_gets_401() {
    let app = App::start().await;
    let (_, session) = app.new_session("bare").await;
    let body = json!({ "token": session.refresh });

    app.post(path::REFRESH).json(&body).answer().await.problem(401);
    let by_cookie = app.post(path::REFRESH).json(&body);
    by_cookie.header("cookie", format!("refresh_token={}", session.refresh)).answer().await.problem(401);
}

#[tokio::test]
async fn an_access_token_of_another_session_is_refused_and_both_sessions_remain() {
    let app = App::start().await;
    let (user, first) = app.new_session("first").await;
    let second = app.log_in(&user).await;
    let (_, other_user) = app.new_session("other-user").await;

    for other in [&second, &other_user] {
        let mixed = Session { access: other.access.clone(), refresh: first.refresh.clone() };
        app.refresh(&mixed).await.problem(401);
        app.me(&other.access).await.ok(200);
    }
    app.refresh(&first).await.ok(200);
}

#[tokio::test]
async fn an_invalid_refresh_token_is_refused() {
    let app = App::start().await;
    let (_, session) = app.new_session("picky").await;
    let key = signing_key(&app);
    for (fault, token) in [
        ("an access token", session.access.clone()),
        ("an expired one", expired(&session.refresh).sign(&key)),
        ("nonsense", "nonsense".to_owned()),
        ("nothing", String::new()),
    ] {
        let answer = post(&app, &session.access, &json!({ "token": token })).await;
        assert!([401, 422].contains(&answer.status), "{fault}: {}", answer.body);
        answer.problem(answer.status);
    }
    app.refresh(&session).await.ok(200);
}

#[tokio::test]
async fn a_malformed_body_is_refused() {
    let app = App::start().await;
    let (_, session) = app.new_session("body").await;
    let request = || app.post(path::REFRESH).bearer_auth(&session.access);
    let json = |text: &'static str| request().header("content-type", "application/json").body(text).answer();

    json("{").await.problem(400);
    json("").await.problem(400);
    assert_eq!(json("{}").await.invalid_fields(), ["token"]);
    assert_eq!(json(r#"{"token": 7}"#).await.invalid_fields(), ["token"]);
    json("[]").await.problem(422);
    request().form(&[("token", &session.refresh)]).answer().await.problem(415);
    request().body(json!({ "token": session.refresh }).to_string()).answer().await.problem(415);
    app.refresh(&session).await.ok(200);
}
