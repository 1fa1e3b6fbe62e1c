//! Authentication of clients at `/introspect` and `/revoke`.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Setup, path};
use reqwest::RequestBuilder;

use crate::limits;

pub const CLIENT_ID: &str = "orders api";
/// With characters that RFC 6749 §2.3.1 requires to be encoded.
pub const CLIENT_SECRET: &str = "NeverLogged+%41:0123456789abcdef0123";

/// The configuration of an app with a client.
pub fn with_client() -> Setup {
    App::setup().set("INTROSPECTION_CLIENT_ID", CLIENT_ID).set("INTROSPECTION_CLIENT_SECRET", CLIENT_SECRET)
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, error: &str, challenge: &str) {
    let problem = answer.problem(status);
    assert_eq!(problem["error"], error, "{problem}");
    // Only 401 has a challenge.
    let found = answer.header("www-authenticate").unwrap_or_default();
    assert!(found.contains(challenge), "{found}");
}

/// Asserts that the endpoint accepts valid credentials in every form, and refuses all others.
pub async fn assert_authenticates(endpoint: &str) {
    let app = with_client().start().await;
    let (_, session) = app.new_session("ordinary").await;
    let ask = || app.post(endpoint);
    let form = [("token", "nonsense")];
    let credentials = |secret: &'static str| [("client_id", CLIENT_ID), ("client_secret", secret), form[0]];

    let encoded_id = "orders%20api";
    let encoded_secret = "NeverLogged%2B%2541%3A0123456789abcdef0123";
    let superuser = &app.superuser().await.access;
    let accepted: [RequestBuilder; 4] = [
        ask().bearer_auth(superuser).form(&form),
        ask().basic_auth(CLIENT_ID, Some(CLIENT_SECRET)).form(&form),
        ask().basic_auth(encoded_id, Some(encoded_secret)).form(&form),
        ask().form(&credentials(CLIENT_SECRET)),
    ];
    for request in accepted {
        assert_eq!(request.answer().await.status, 200);
    }

    assert_refused(&ask().form(&form).answer().await, 401, "invalid_client", "Basic");
    assert_refused(&ask().form(&form).answer().await, 401, "invalid_client", "Bearer");
    for (id, secret) in [
        (CLIENT_ID, "wrong"),
        (CLIENT_ID, ""),
        ("", CLIENT_SECRET),
        ("ORDERS API", CLIENT_SECRET),
        (CLIENT_ID, &CLIENT_SECRET[1..]),
        ("%ff", "%ff"),
    ] {
        let answer = ask().basic_auth(id, Some(secret)).form(&form).answer().await;
        assert_refused(&answer, 401, "invalid_client", "Basic");
    }
    for header in ["Basic", "Basic !", "Basic bm8gY29sb24=", "Digest x", "", "Basic /w=="] {
        let answer = ask().header("authorization", header).form(&form).answer().await;
        assert_refused(&answer, 401, "invalid_client", "Basic");
    }
    let answer = ask().form(&credentials("NeverLogged, and wrong")).answer().await;
    assert_refused(&answer, 401, "invalid_client", "Basic");
    for token in ["nonsense", session.refresh.as_str()] {
        assert_refused(&ask().bearer_auth(token).form(&form).answer().await, 401, "invalid_token", "Bearer");
    }
    let answer = ask().bearer_auth(&session.access).form(&form).answer().await;
    assert_refused(&answer, 403, "insufficient_scope", "");
    // The client is authenticated before the body is read.
    let answer = ask().bearer_auth(&session.access).body("nonsense").answer().await;
    assert_refused(&answer, 403, "insufficient_scope", "");
    // A cookie is not accepted at this endpoint.
    let cookie = format!("access_token={superuser}");
    assert_refused(
        &ask().header("cookie", cookie).form(&form).answer().await,
        401,
        "invalid_client",
        "Basic",
    );
    // RFC 6749 §2.3: at most one authentication method per request.
    let twice = ask().basic_auth(CLIENT_ID, Some(CLIENT_SECRET)).form(&credentials(CLIENT_SECRET));
    let answer = twice.answer().await;
    assert_eq!(answer.invalid_fields(), ["client_secret"]);
    assert_eq!(answer.json()["error"], "invalid_request");

    let without = App::start().await;
    let answer = without.post(endpoint).basic_auth(CLIENT_ID, Some(CLIENT_SECRET)).form(&form).answer().await;
    assert_refused(&answer, 401, "invalid_client", "Basic");
    let answer = without.post(endpoint).basic_auth("", Some("")).form(&form).answer().await;
    assert_refused(&answer, 401, "invalid_client", "Basic");
}

#[tokio::test]
async fn the_credentials_of_the_client_are_refused_elsewhere() {
    let app = with_client().start().await;
    for path in [path::ME, path::VERIFY] {
        app.get(path).basic_auth(CLIENT_ID, Some(CLIENT_SECRET)).answer().await.problem(401);
    }
    app.post(path::USERS).basic_auth(CLIENT_ID, Some(CLIENT_SECRET)).answer().await.problem(401);
}

#[tokio::test]
async fn guesses_of_the_secret_are_limited_and_the_client_is_not() {
    let app = limits::start(with_client().set("RATE_LIMIT_PER_NETWORK", "30")).await;
    let form = [("token", "nonsense")];
    for endpoint in [path::INTROSPECT, path::REVOKE] {
        let guess = || app.post(endpoint).basic_auth(CLIENT_ID, Some("NeverLogged, and wrong")).form(&form);
        let mut guesses = 0;
        let limited = loop {
            let answer = guess().answer().await;
            if answer.status != 401 {
                break answer;
            }
            guesses += 1;
            assert!(guesses <= 10, "{guesses} guesses were not limited");
        };
        assert_eq!(limited.problem(429)["error"], "temporarily_unavailable");
        assert!(limited.header("retry-after").is_some());
        let right = app.post(endpoint).basic_auth(CLIENT_ID, Some(CLIENT_SECRET)).form(&form);
        assert_eq!(right.answer().await.status, 200);
    }
    assert_eq!(app.audited_requests("client_refused").await, ["-"; 10].join(" "));
    assert!(app.server().metric("latchkey_rate_limited_total", &["client", "network"]).await > 0.0);
    assert!(
        app.server().metric("latchkey_audit_events_total", &["token_introspected", "success"]).await > 0.0
    );
}
