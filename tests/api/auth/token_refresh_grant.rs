//! `POST /api/v1/auth/token` with `grant_type=refresh_token` (RFC 6749 §6).

use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, path};

async fn exchange(app: &App, refresh: &str) -> Answer {
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    app.post(path::TOKEN).form(&form).answer().await
}

#[track_caller]
fn assert_invalid_grant(answer: &Answer) {
    assert_eq!(answer.problem(400)["error"], "invalid_grant", "{}", answer.body);
}

fn session(answer: &Answer) -> Session {
    let body = answer.ok(200);
    let token = |name: &str| body[name].as_str().unwrap().to_owned();
    Session { access: token("access_token"), refresh: token("refresh_token") }
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_without_an_access_token() {
    let app = App::start().await;
    let (_, old) = app.new_session("oauth").await;

    let answer = exchange(&app, &old.refresh).await;

    assert_json_snapshot!(answer.ok(200), {
        ".access_token" => "<jwt>", ".refresh_token" => "<jwt>",
    }, @r#"
    {
      "access_token": "<jwt>",
      "expires_in": 604800,
      "refresh_token": "<jwt>",
      "token_type": "bearer"
    }
    "#);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let new = session(&answer);
    assert_ne!(new.refresh, old.refresh);
    app.me(&new.access).await.ok(200);
    app.refresh(&new).await.ok(200);
}

#[tokio::test]
async fn a_reused_refresh_token_ends_the_session() {
    let app = App::start().await;
    let (user, old) = app.new_session("rotating").await;
    let new = session(&exchange(&app, &old.refresh).await);
    let past_grace = "UPDATE refresh_tokens SET rotated_at = rotated_at - interval '11 seconds' \
                      WHERE rotated_at IS NOT NULL AND session_id IN (SELECT s.id FROM sessions s \
                      JOIN users u ON u.id = s.user_id WHERE u.username = $1)";
    assert_eq!(app.database.execute_for(past_grace, &user.username).await, 1);

    assert_invalid_grant(&exchange(&app, &old.refresh).await);

    assert_invalid_grant(&exchange(&app, &new.refresh).await);
    app.me(&new.access).await.problem(401);
}

#[tokio::test]
async fn other_tokens_and_tokens_of_ended_sessions_are_refused() {
    let app = App::start().await;
    let (_, session) = app.new_session("no-grant").await;

    assert_invalid_grant(&exchange(&app, &session.access).await);
    assert_invalid_grant(&exchange(&app, "nonsense").await);
    app.log_out(&session).await.ok(200);
    assert_invalid_grant(&exchange(&app, &session.refresh).await);
}
