//! Forms of requests that clients and proxies vary: methods, paths, request targets, and headers that are given twice.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::wire::{self, Wire};

async fn exchange(app: &App, request: &str) -> String {
    wire::exchange(app.server().authority(), request.as_bytes()).await
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let app = App::start().await;
    let access = &app.superuser().await.access;
    for path in [
        path::ME,
        path::SESSIONS,
        path::USERS,
        path::PREFERENCES,
        path::VERIFY,
        path::JWKS,
        path::METADATA,
        "/openapi.json",
        "/docs/",
        "/api/v1/audit",
        "/verify-email",
        "/nowhere",
    ] {
        let get = app.get(path).bearer_auth(access).answer().await;
        let head = app.server().request("HEAD", path).bearer_auth(access).answer().await;
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    assert_eq!(app.server().request("HEAD", path::LOGIN).answer().await.status, 405);
}

#[tokio::test]
async fn other_spellings_of_a_path_are_other_paths() {
    let app = App::start().await;
    let access = &app.superuser().await.access;
    for path in [
        "/api/v1/auth/me/",
        "//api/v1/auth/me",
        "/api//v1/auth/me",
        "/api/v1/auth/%6de",
        "/API/v1/auth/me",
        "/api/v1/auth/me;a=b",
        "/api/v1%2fauth/me",
        "/api/v1/auth/verify%2f",
        "/api/v1/auth/verifyx",
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {access}\r\nConnection: close\r\n\r\n"
        );
        let answer = exchange(&app, &request).await;
        assert_eq!(wire::status(&answer), Some(404), "{path}: {answer}");
    }
}

#[tokio::test]
async fn every_form_of_the_request_target_and_of_the_host_reaches_the_endpoint() {
    let app = App::start().await;
    let access = &app.superuser().await.access;
    for (line, host) in [
        ("GET /api/v1/auth/me HTTP/1.1", "Host: auth.example.test\r\n"),
        ("GET http://auth.example.test/api/v1/auth/me HTTP/1.1", "Host: auth.example.test\r\n"),
        ("GET https://other.example.test:8443/api/v1/auth/me?x=y HTTP/1.1", "Host: a\r\n"),
        ("GET /api/v1/auth/me HTTP/1.0", ""),
        ("GET /api/v1/auth/me HTTP/1.1", "Host: \r\n"),
    ] {
        let request = format!("{line}\r\n{host}Authorization: Bearer {access}\r\nConnection: close\r\n\r\n");
        let answer = exchange(&app, &request).await;
        assert!(answer.split_whitespace().nth(1) == Some("200"), "{line}: {answer}");
    }
}

#[tokio::test]
async fn a_client_that_waits_before_it_sends_the_body_is_told_to_go_on() {
    let app = App::start().await;
    let user = app.create_user("curl").await;
    let body = format!("username={}&password={}", user.username, user.password.replace(' ', "+"));
    for expect in ["100-continue", "100-Continue"] {
        let mut wire = Wire::connect(app.server().authority()).await;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\nExpect: {expect}\r\nConnection: close\r\n\r\n",
            path::LOGIN,
            body.len()
        );
        wire.send(head.as_bytes()).await;
        wire.continued().await;
        wire.send(body.as_bytes()).await;
        let answer = wire.answer().await;
        assert_eq!(wire::status(&answer), Some(200), "{answer}");
    }
}

#[tokio::test]
async fn the_case_of_the_scheme_does_not_matter_and_of_two_headers_none_is_chosen() {
    let app = App::start().await;
    let (_, session) = app.new_session("schemes").await;
    let access = session.access.as_str();
    let endpoints =
        [("GET", path::ME), ("GET", path::VERIFY), ("POST", path::VERIFY), ("GET", path::SESSIONS)];
    for (method, path) in endpoints {
        let ask = |values: &[String]| {
            let request = app.server().request(method, path);
            values.iter().fold(request, |request, value| request.header("authorization", value)).answer()
        };
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer "] {
            assert_eq!(ask(&[format!("{scheme} {access}")]).await.status, 200, "{method} {path} {scheme}");
        }
        for values in [
            vec![format!("Bearer {access}"), format!("Bearer {access}")],
            vec![format!("Bearer {access}"), "Basic YTpi".to_owned()],
            vec!["Basic YTpi".to_owned(), format!("Bearer {access}")],
            vec![format!("Bearer {access}, Bearer {access}")],
            vec![format!("Bearer{access}")],
            vec![access.to_owned()],
            vec![format!("Token {access}")],
            vec!["Bearer".to_owned()],
            vec![String::new()],
        ] {
            ask(&values).await.problem(401);
        }
    }
}

#[tokio::test]
async fn a_cookie_is_read_however_it_is_written() {
    let app = App::start().await;
    let (_, session) = app.new_session("cookies").await;
    let access = session.access.as_str();
    for line in [
        format!("access_token={access}"),
        format!("access_token=\"{access}\""),
        format!("  a=b ;access_token={access};  c=d"),
        format!("$Version=1; access_token={access}; $Path=/"),
        format!("access_token={access}; access_token={access}"),
        format!("access_token={access}; access_token=\"{access}\";"),
        format!(";;; access_token={access}"),
        format!("access_token = {access}"),
    ] {
        let answer = app.get(path::VERIFY).header("cookie", &line).answer().await;
        assert_eq!(answer.status, 200, "{line}: {answer:?}");
    }
    for line in [
        format!("access_token={access}; access_token=x"),
        format!("Access_Token={access}"),
        format!("access_token=\"{access}"),
    ] {
        app.get(path::VERIFY).header("cookie", &line).answer().await.problem(401);
    }
}

#[tokio::test]
async fn what_a_proxy_says_of_the_original_request_changes_no_decision() {
    let app = App::start().await;
    let (user, session) = app.new_session("original").await;
    let said = [
        ("x-forwarded-method", "OPTIONS"),
        ("x-forwarded-uri", "/.well-known/jwks.json"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-port", "1"),
        ("x-original-url", "/.well-known/jwks.json"),
        ("x-original-uri", "/docs/"),
        ("x-original-method", "OPTIONS"),
        ("x-rewrite-url", "/docs/"),
        ("x-http-method-override", "GET"),
        ("forwarded", "for=192.0.2.1;proto=http;host=evil.test"),
        ("x-envoy-original-path", "/docs/"),
    ];
    let with = |token: Option<&str>, path: &str| {
        let request = said.iter().fold(app.get(path), |request, (name, value)| request.header(*name, *value));
        match token {
            Some(token) => request.bearer_auth(token).answer(),
            None => request.answer(),
        }
    };
    for path in [path::VERIFY.to_owned(), format!("{}/orders", path::VERIFY), path::ME.to_owned()] {
        with(None, &path).await.problem(401);
        assert_eq!(with(Some(&session.access), &path).await.status, 200, "{path}");
    }
    let metadata = with(None, path::METADATA).await.ok(200);
    assert!(!metadata.to_string().contains("evil"), "{metadata}");
    let form = [("username", &user.username), ("password", &user.password)];
    let login =
        said.iter().fold(app.post(path::LOGIN), |request, (name, value)| request.header(*name, *value));
    let cookie = login.form(&form).answer().await.cookie();
    assert!(cookie.contains(&"Path=/api/v1/auth".to_owned()), "{cookie:?}");
}
