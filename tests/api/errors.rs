//! Problem responses (RFC 9457) that do not belong to an endpoint.

use insta::assert_json_snapshot;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};

#[tokio::test]
async fn an_unknown_path_gets_a_problem() {
    let app = App::start().await;
    for path in
        ["/nowhere", "/api/v1/auth/nowhere", "/api/v1/auth/login/", "/api/v2/auth/me", "/%2e%2e/etc/passwd"]
    {
        let answer = app.get(path).answer().await;
        assert_json_snapshot!("not_found", answer.problem(404), { ".instance" => "<request id>" });
    }
}

#[tokio::test]
async fn an_unsupported_method_gets_405_with_the_allowed_ones() {
    let app = App::start().await;
    for (method, path, allowed) in [
        ("GET", path::LOGIN, "POST"),
        ("DELETE", path::LOGIN, "POST"),
        ("PUT", path::REFRESH, "POST"),
        ("POST", path::ME, "GET"),
        ("GET", path::LOGOUT, "POST"),
    ] {
        let answer = app.server().request(method, path).answer().await;
        assert_json_snapshot!("method_not_allowed", answer.problem(405), { ".instance" => "<request id>" });
        let allow = answer.header("allow").unwrap_or_default();
        assert!(allow.split(',').any(|name| name.trim() == allowed), "{method} {path}: Allow: {allow}");
    }
}

#[tokio::test]
async fn every_response_has_a_unique_request_id() {
    let app = App::start().await;
    let first = app.get(path::ME).answer().await;
    let second = app.get(path::ME).answer().await;
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    assert!(app.get(path::JWKS).answer().await.header("x-request-id").is_some());
}

#[tokio::test]
async fn a_valid_request_id_of_the_client_is_used() {
    let app = App::start().await;
    let answer = app.get(path::ME).header("x-request-id", "trace-me.0123456789_ABC").answer().await;
    assert_eq!(answer.header("x-request-id"), Some("trace-me.0123456789_ABC"));
    assert!(answer.problem(401)["instance"].as_str().unwrap().ends_with("trace-me.0123456789_ABC"));
    app.server().wait_for_log("trace-me.0123456789_ABC").await;
}

#[tokio::test]
async fn an_invalid_request_id_of_the_client_is_replaced() {
    let app = App::start().await;
    for id in ["x".repeat(2000), "a b\"c{}".to_owned(), String::new()] {
        let answer = app.get(path::ME).header("x-request-id", &id).answer().await;
        let own = answer.header("x-request-id").unwrap_or_default().to_owned();
        assert_ne!(own, id);
        assert!(!own.is_empty() && own.len() <= 128, "{own}");
        answer.problem(401);
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_gets_413() {
    let app = App::start().await;
    let access = &app.superuser().await.access;
    for size in [100_000, 1_000_000, 3_000_000] {
        let large = "x".repeat(size);
        let form = app.post(path::LOGIN).form(&[("username", "a"), ("password", &large)]).answer().await;
        assert_json_snapshot!("too_large", form.problem(413), { ".instance" => "<request id>" });
        let json = serde_json::json!({ "token": large });
        app.post(path::REFRESH).bearer_auth(access).json(&json).answer().await.problem(413);
        app.post(path::USERS).bearer_auth(access).json(&json).answer().await.problem(413);
        let multipart = reqwest::multipart::Form::new().text("username", "a").text("password", large);
        app.post(path::LOGIN).multipart(multipart).answer().await.problem(413);
    }
}

#[tokio::test]
async fn no_header_discloses_the_software() {
    let app = App::start().await;
    for answer in [app.get(path::ME).answer().await, app.get(path::JWKS).answer().await] {
        assert_eq!(answer.header("server"), None);
        assert_eq!(answer.header("x-powered-by"), None);
    }
}
