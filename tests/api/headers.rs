//! The security headers of every response (OWASP ASVS 5.0 §3.4).

use std::collections::BTreeSet;

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, SUPERUSER, path, superuser_password};

/// One response of every kind: successes, problems, pages, files, and those that no endpoint sends.
async fn answers(app: &App) -> Vec<(&'static str, Answer)> {
    let access = &app.superuser().await.access;
    let mut answers = vec![
        ("login", app.post_login(SUPERUSER, &superuser_password()).await),
        ("me", app.me(access).await),
        ("no token", app.get(path::ME).answer().await),
        ("wrong type", app.post(path::LOGIN).body("x").answer().await),
        ("no path", app.get("/nowhere").answer().await),
        ("no path of the API", app.get("/api/v1/nowhere").answer().await),
        ("no method", app.get(path::LOGIN).answer().await),
        ("options", app.server().request("OPTIONS", path::LOGIN).answer().await),
        ("head", app.server().request("HEAD", path::ME).answer().await),
        ("too large", app.post(path::LOGIN).body("x".repeat(100_000)).answer().await),
    ];
    for path in [path::JWKS, "/openapi.json", "/docs", "/docs/", "/reset-password?token=x"] {
        answers.push((path, app.get(path).answer().await));
    }
    answers
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let app = App::start().await;
    for (what, answer) in answers(&app).await {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{what}");
        let hsts = answer.header("strict-transport-security");
        assert_eq!(hsts, Some("max-age=63072000; includeSubDomains"), "{what}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        let directives: BTreeSet<_> = policy.split(';').map(str::trim).collect();
        for needed in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(directives.contains(needed), "{what}: {policy}");
        }
        assert!(!policy.contains("unsafe-eval"), "{what}: {policy}");
        let script = directives.iter().find(|directive| directive.starts_with("script-src"));
        assert!(script.is_none_or(|script| *script == "script-src 'self'"), "{what}: {policy}");
    }
}

#[tokio::test]
async fn responses_of_the_api_are_not_cached_and_the_key_set_is() {
    let app = App::start().await;
    for (what, answer) in answers(&app).await {
        let is_api =
            ["login", "me", "no token", "wrong type", "no path of the API", "no method"].contains(&what);
        if is_api || what.starts_with("/reset-password") {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        }
    }
    let keys = app.get(path::JWKS).answer().await;
    assert!(keys.header("cache-control").is_some_and(|value| value.contains("max-age")), "{keys:?}");
}

#[tokio::test]
async fn hsts_is_only_sent_if_the_issuer_uses_https() {
    let app = App::setup().set("ISSUER_URL", "http://auth.example.test").start().await;
    let answer = app.get(path::ME).answer().await;
    assert_eq!(answer.header("strict-transport-security"), None);
}

#[tokio::test]
async fn a_request_with_only_cookies_changes_nothing() {
    let app = App::start().await;
    let (user, session) = app.new_session("crossed").await;
    let cookies = format!("refresh_token={}; access_token={}", session.refresh, session.access);
    let origin = "https://elsewhere.test";
    for path in [path::LOGOUT, path::REFRESH, path::USERS, path::ME] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let request =
                app.server().request(method, path).header("cookie", &cookies).header("origin", origin);
            let answer = request.json(&serde_json::json!({ "token": session.refresh })).answer().await;
            assert!([401, 405].contains(&answer.status), "{method} {path}: {answer:?}");
            assert!(!answer.sets_cookie(), "{method} {path}");
        }
    }
    // A form, which any same-site page can send with the user's cookies.
    let form = app.post(path::LOGOUT).header("cookie", &cookies).form(&[("a", "b")]);
    form.answer().await.problem(401);
    // The refresh_token grant only reads the token from the form.
    let grant = app.post(path::TOKEN).header("cookie", &cookies).form(&[("grant_type", "refresh_token")]);
    grant.answer().await.problem(422);

    app.me(&session.access).await.ok(200);
    app.refresh(&session).await.ok(200);
    app.log_in(&user).await;
}
