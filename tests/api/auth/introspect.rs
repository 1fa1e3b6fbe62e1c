//! `POST /api/v1/auth/introspect` (RFC 7662)

use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, path};
use latchkey_tests::forged_tokens::{Forged, claim};
use serde_json::{Value, json};

use super::clients::{CLIENT_ID, CLIENT_SECRET, assert_authenticates, with_client};

async fn introspect(app: &App, token: &str) -> Answer {
    let request = app.post(path::INTROSPECT).basic_auth(CLIENT_ID, Some(CLIENT_SECRET));
    request.form(&[("token", token)]).answer().await
}

#[track_caller]
fn assert_inactive(answer: &Answer) {
    // RFC 7662 §2.2: the response contains nothing else, so that it discloses nothing.
    assert_eq!(answer.ok(200), json!({ "active": false }));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn the_claims_of_an_access_token_are_returned() {
    let app = with_client().start().await;
    let (user, session) = app.new_session("anna").await;

    let answer = introspect(&app, &session.access).await;

    let body = answer.ok(200);
    assert_json_snapshot!(body, {
        ".exp" => "<time>", ".iat" => "<time>", ".nbf" => "<time>", ".jti" => "<uuid>", ".sid" => "<uuid>",
        ".sub" => "<id>", ".username" => "<username>",
    });
    assert_eq!(body["username"], user.username);
    for name in ["sub", "exp", "iat", "nbf", "iss", "aud", "jti", "sid"] {
        assert_eq!(body[name], claim(&session.access, name), "{name}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn introspection_does_not_use_up_a_refresh_token() {
    let app = with_client().start().await;
    let (_, session) = app.new_session("rita").await;
    for _ in 0..3 {
        let body = introspect(&app, &session.refresh).await.ok(200);
        assert_eq!((&body["active"], &body["token_type"]), (&json!(true), &json!("refresh_token")), "{body}");
        assert_eq!(body["jti"], claim(&session.refresh, "jti"));
    }
    app.refresh(&session).await.ok(200);
}

#[tokio::test]
async fn introspection_of_a_rotated_refresh_token_is_not_a_reuse() {
    let app = with_client().start().await;
    let (_, first) = app.new_session("rota").await;
    let second = Session::from_answer(&app.refresh(&first).await);
    app.database.execute("UPDATE refresh_tokens SET rotated_at = rotated_at - interval '1 minute'").await;

    assert_inactive(&introspect(&app, &first.refresh).await);

    assert_eq!(introspect(&app, &second.refresh).await.ok(200)["active"], true);
    app.me(&second.access).await.ok(200);
    app.refresh(&second).await.ok(200);
}

#[tokio::test]
async fn an_invalid_or_revoked_token_is_inactive() {
    let app = with_client().start().await;
    let (_, out) = app.new_session("out").await;
    app.log_out(&out).await.ok(200);
    let (user, fired) = app.new_session("fired").await;
    app.database.execute_for("UPDATE users SET is_active = false WHERE username = $1", &user.username).await;
    let (_, good) = app.new_session("good").await;
    let pattern = Forged::from_token(&good.access);
    let key = latchkey_tests::key_set::of_this_process();
    for token in [
        &out.access,
        &out.refresh,
        &fired.access,
        &fired.refresh,
        &pattern.unsigned(),
        &pattern.clone().claim("exp", 1_000_000_000).sign(key),
        &pattern.clone().claim("aud", "another").sign(key),
        &pattern.clone().header("typ", "JWT").sign(key),
        &"nonsense".to_owned(),
        &"\u{0}\u{fc}".to_owned(),
    ] {
        assert_inactive(&introspect(&app, token).await);
    }
    assert_eq!(introspect(&app, &good.access).await.ok(200)["active"], true);
    assert!(app.server().metric("latchkey_introspections_total", &["inactive"]).await >= 10.0);
}

#[tokio::test]
async fn superusers_and_the_configured_client_are_authenticated() {
    assert_authenticates(path::INTROSPECT).await;
}

#[tokio::test]
async fn the_hint_is_ignored() {
    let app = with_client().start().await;
    let (_, session) = app.new_session("hint").await;
    for hint in ["access_token", "refresh_token", "nonsense", ""] {
        let form = [("token", session.access.as_str()), ("token_type_hint", hint)];
        let request = app.post(path::INTROSPECT).basic_auth(CLIENT_ID, Some(CLIENT_SECRET)).form(&form);
        assert_eq!(request.answer().await.ok(200)["active"], true, "{hint}");
    }
}

#[tokio::test]
async fn a_request_without_a_token_is_invalid() {
    let app = with_client().start().await;
    for form in [vec![], vec![("token", "")], vec![("token_type_hint", "access_token")]] {
        let request = app.post(path::INTROSPECT).basic_auth(CLIENT_ID, Some(CLIENT_SECRET)).form(&form);
        let answer = request.answer().await;
        assert_eq!(answer.invalid_fields(), ["token"]);
        assert_eq!(answer.json()["error"], "invalid_request");
    }
    let json: Value = json!({ "token": "x" });
    let request = app.post(path::INTROSPECT).basic_auth(CLIENT_ID, Some(CLIENT_SECRET)).json(&json);
    assert_eq!(request.answer().await.problem(415)["error"], "invalid_request");
    let twice = app.post(path::INTROSPECT).basic_auth(CLIENT_ID, Some(CLIENT_SECRET));
    let twice = twice.form(&[("token", "a"), ("token", "b")]).answer().await;
    assert_eq!(twice.problem(400)["error"], "invalid_request");
}

#[tokio::test]
async fn without_the_database_the_request_gets_503() {
    let mut app = with_client().own_postgres().start().await;
    let (_, session) = app.new_session("dark").await;
    app.postgres.as_mut().unwrap().stop();
    for token in [&session.access, &session.refresh] {
        let problem = introspect(&app, token).await.problem(503);
        assert_eq!(problem["error"], "temporarily_unavailable");
    }
}
