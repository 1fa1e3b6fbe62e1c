//! Errors of `/token`, `/introspect` and `/revoke` (RFC 6749 §5.2), whatever part of the server decides them.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use latchkey_tests::wire;

const ENDPOINTS: [&str; 3] = [path::TOKEN, path::INTROSPECT, path::REVOKE];

/// What a client library looks for before it believes that there is an OAuth error.
#[track_caller]
fn assert_oauth_error(answer: &Answer, status: u16, error: &str) {
    let body = answer.problem(status);
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert_eq!(body["error"], error, "{answer:?}");
    assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{answer:?}");
}

#[tokio::test]
async fn have_the_members_of_the_rfc_from_every_layer() {
    let app = App::start().await;
    let large = "x".repeat(100_000);
    for path in ENDPOINTS {
        for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            let answer = app.server().request(method, path).answer().await;
            assert_oauth_error(&answer, 405, "invalid_request");
            assert_eq!(answer.header("allow"), Some("POST"));
        }
        for misspelt in [format!("{path}/"), format!("{path}/x")] {
            assert_oauth_error(&app.post(&misspelt).answer().await, 404, "invalid_request");
        }
        let answer = app.post(path).form(&[("token", &large)]).answer().await;
        assert_oauth_error(&answer, 413, "invalid_request");
        let answer = app.post(path).json(&serde_json::json!({})).answer().await;
        assert_oauth_error(&answer, 415, "invalid_request");
        let answer = app.post(path).form(&[("a", "b")]).header("content-encoding", "br").answer().await;
        assert_oauth_error(&answer, 415, "invalid_request");
        let form = ("content-type", "application/x-www-form-urlencoded");
        let answer = app.post(path).header(form.0, form.1).body("a=1&a=2").answer().await;
        assert_oauth_error(&answer, 400, "invalid_request");
        let answer = app.post(path).header(form.0, form.1).body("a=%ff").answer().await;
        assert_oauth_error(&answer, 400, "invalid_request");
    }
}

#[tokio::test]
async fn have_a_challenge_with_401_only() {
    let app = App::start().await;
    let (user, session) = app.new_session("oauth-errors").await;
    let refused = [("grant_type", "refresh_token"), ("refresh_token", session.access.as_str())];
    assert_oauth_error(&app.post(path::TOKEN).form(&refused).answer().await, 400, "invalid_grant");
    let wrong = [("username", user.username.as_str()), ("password", "not the password")];
    assert_oauth_error(&app.post(path::TOKEN).form(&wrong).answer().await, 400, "invalid_grant");
    for path in [path::INTROSPECT, path::REVOKE] {
        let ask = || app.post(path).form(&[("token", "x")]);
        assert_oauth_error(&ask().answer().await, 401, "invalid_client");
        assert_oauth_error(&ask().basic_auth("a", Some("b")).answer().await, 401, "invalid_client");
        assert_oauth_error(&ask().bearer_auth("x").answer().await, 401, "invalid_token");
        let ordinary = ask().bearer_auth(&session.access).answer().await;
        assert_oauth_error(&ordinary, 403, "insufficient_scope");
    }
}

#[tokio::test]
async fn say_that_they_pass_when_they_do() {
    let mut app = App::setup().own_postgres().set("RATE_LIMIT_PER_ACCOUNT", "1").start().await;
    let form = [("username", "someone"), ("password", "x")];
    let mut answer = app.post(path::TOKEN).form(&form).answer().await;
    for _ in 0..20 {
        if answer.status == 429 {
            break;
        }
        answer = app.post(path::TOKEN).form(&form).answer().await;
    }
    assert_oauth_error(&answer, 429, "temporarily_unavailable");
    let superuser = app.superuser().await.access.clone();
    app.postgres.as_mut().unwrap().stop();
    let grant = [("username", "another"), ("password", "x")];
    assert_oauth_error(&app.post(path::TOKEN).form(&grant).answer().await, 503, "temporarily_unavailable");
    for path in [path::INTROSPECT, path::REVOKE] {
        let answer = app.post(path).bearer_auth(&superuser).form(&[("token", &superuser)]).answer().await;
        assert_oauth_error(&answer, 503, "temporarily_unavailable");
    }
}

#[tokio::test]
async fn have_them_after_a_body_that_broke_off() {
    let app = App::start().await;
    for path in ENDPOINTS {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nnonsense\r\n"
        );
        let answer = wire::exchange(app.server().authority(), request.as_bytes()).await;
        assert_eq!(wire::status(&answer), Some(400), "{answer}");
        assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
        assert!(answer.contains("\"error\":\"invalid_request\""), "{answer}");
    }
}
