//! `GET /api/v1/auth/verify`: forward authentication.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, SUPERUSER, User, path};
use serde_json::json;

async fn verify(app: &App, name: &str, value: &str) -> Answer {
    app.get(path::VERIFY).header(name, value).answer().await
}

async fn verify_bearer(app: &App, token: &str) -> Answer {
    verify(app, "authorization", &format!("Bearer {token}")).await
}

#[track_caller]
fn assert_is(answer: &Answer, user: &User, superuser: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-auth-user-id"), Some(user.id.to_string().as_str()));
    assert_eq!(answer.header("x-auth-username"), Some(user.username.as_str()));
    assert_eq!(answer.header("x-auth-email"), Some(user.email.as_str()));
    assert_eq!(answer.header("x-auth-superuser"), Some(superuser));
    assert_eq!(answer.header("x-auth-client-id"), Some("latchkey"));
    assert_eq!(answer.header("x-auth-scopes"), Some(""));
    assert_eq!(answer.header("x-auth-groups"), Some(""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.body, "");
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    answer.problem(401);
    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("x-auth-")), "{answer:?}");
}

#[tokio::test]
async fn the_user_of_the_token_is_returned_in_headers() {
    let app = App::start().await;
    let (user, session) = app.new_session("anna").await;
    assert_is(&verify_bearer(&app, &session.access).await, &user, "false");
    let superuser = verify_bearer(&app, &app.superuser().await.access).await;
    assert_eq!(superuser.header("x-auth-username"), Some(SUPERUSER));
    assert_eq!(superuser.header("x-auth-superuser"), Some("true"));
}

#[tokio::test]
async fn the_cookie_is_used_without_an_authorization_header() {
    let app = App::start().await;
    let (user, session) = app.new_session("cora").await;
    let cookie = format!("theme=dark; access_token={}; lang=de", session.access);
    assert_is(&verify(&app, "cookie", &cookie).await, &user, "false");

    let both = |authorization: String| {
        app.get(path::VERIFY).header("cookie", &cookie).header("authorization", authorization).answer()
    };
    for header in ["Bearer nonsense".to_owned(), "Basic YTpi".to_owned(), String::new()] {
        assert_refused(&both(header).await);
    }
}

#[tokio::test]
async fn two_cookies_with_access_tokens_are_refused() {
    let app = App::start().await;
    let (_, victim) = app.new_session("victim").await;
    let (_, attacker) = app.new_session("attacker").await;
    let cookies = format!("access_token={}; access_token={}", victim.access, attacker.access);
    assert_refused(&verify(&app, "cookie", &cookies).await);
}

#[tokio::test]
async fn a_refresh_token_is_refused_in_the_header_and_in_cookies() {
    let app = App::start().await;
    let (_, session) = app.new_session("rita").await;
    assert_refused(&verify_bearer(&app, &session.refresh).await);
    for name in ["access_token", "refresh_token"] {
        assert_refused(&verify(&app, "cookie", &format!("{name}={}", session.refresh)).await);
    }
    // The name of the cookie is compared as a whole.
    for name in ["Access_Token", "xaccess_token", "access_token_"] {
        assert_refused(&verify(&app, "cookie", &format!("{name}={}", session.access)).await);
    }
}

#[tokio::test]
async fn without_a_token_the_challenge_has_no_error() {
    let app = App::start().await;
    let answer = app.get(path::VERIFY).answer().await;
    assert_refused(&answer);
    assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer realm="latchkey""#));
    assert_refused(&verify(&app, "cookie", "access_token=").await);
    assert_refused(&app.get(&format!("{}?access_token=x", path::VERIFY)).answer().await);
}

#[tokio::test]
async fn a_logout_and_a_deactivation_take_effect_immediately() {
    let app = App::start().await;
    let (_, session) = app.new_session("leaver").await;
    app.log_out(&session).await.ok(200);
    assert_refused(&verify_bearer(&app, &session.access).await);

    let (user, session) = app.new_session("fired").await;
    app.database.execute_for("UPDATE users SET is_active = false WHERE username = $1", &user.username).await;
    assert_refused(&verify_bearer(&app, &session.access).await);
}

#[tokio::test]
async fn any_method_and_any_path_below_are_accepted() {
    let app = App::start().await;
    let (user, session) = app.new_session("envoy").await;
    for (method, below) in [
        ("GET", "/"),
        ("POST", "/orders/7?page=2"),
        ("DELETE", "/a//b/%2e%2e/%ff"),
        ("OPTIONS", "/../api/v1/auth/login"),
        ("PATCH", "/x"),
    ] {
        let path = format!("{}{below}", path::VERIFY);
        let good = app.server().request(method, &path).bearer_auth(&session.access).answer().await;
        // The client library resolves the dots, so that this request reaches another endpoint.
        if !below.starts_with("/..") {
            assert_is(&good, &user, "false");
            assert_refused(&app.server().request(method, &path).answer().await);
        }
    }
    let head = app.server().request("HEAD", path::VERIFY).bearer_auth(&session.access).answer().await;
    assert_is(&head, &user, "false");
}

#[tokio::test]
async fn user_headers_of_the_request_are_ignored() {
    let app = App::start().await;
    let (user, session) = app.new_session("humble").await;
    let answer = app
        .get(path::VERIFY)
        .bearer_auth(&session.access)
        .header("x-auth-superuser", "true")
        .header("x-auth-username", "root.admin")
        .answer()
        .await;
    assert_is(&answer, &user, "false");
}

#[tokio::test]
async fn a_display_name_is_not_in_the_headers() {
    let app = App::start().await;
    let body = json!({ "username": "zoe", "email": "o'zoe+x@example.test", "name": "Zoë 李\u{2028}", "password": "correct horse battery" });
    let id = app.post_user(&body).await.ok(201)["id"].as_i64().unwrap();
    let session = app.log_in_as("zoe", "correct horse battery").await;
    let user = User {
        id,
        username: "zoe".to_owned(),
        email: "o'zoe+x@example.test".to_owned(),
        password: String::new(),
    };
    assert_is(&verify_bearer(&app, &session.access).await, &user, "false");
}

#[tokio::test]
async fn without_the_database_the_request_gets_503() {
    let mut app = App::setup().own_postgres().start().await;
    let access = app.superuser().await.access.clone();
    app.postgres.as_mut().unwrap().stop();
    verify_bearer(&app, &access).await.problem(503);
}

#[tokio::test]
async fn every_method_that_a_proxy_passes_on_is_answered_alike() {
    let app = App::start().await;
    let (user, session) = app.new_session("methods").await;
    for path in [path::VERIFY.to_owned(), format!("{}/", path::VERIFY), format!("{}/a/b", path::VERIFY)] {
        for method in [
            "GET",
            "HEAD",
            "POST",
            "PUT",
            "PATCH",
            "DELETE",
            "OPTIONS",
            "TRACE",
            "PROPFIND",
            "PROPPATCH",
            "MKCOL",
            "COPY",
            "MOVE",
            "LOCK",
            "UNLOCK",
            "REPORT",
            "SEARCH",
            "QUERY",
            "PURGE",
            "X-OWN",
        ] {
            for (kind, coding, body) in [
                ("", "", ""),
                ("application/json", "gzip", "{}"),
                ("application/x-www-form-urlencoded", "", "access_token=x"),
                ("application/octet-stream", "br", &"x".repeat(200_000)),
            ] {
                let ask = || {
                    let request = app.server().request(method, &path);
                    if kind.is_empty() {
                        return request;
                    }
                    let request = request.header("content-type", kind).header("content-encoding", coding);
                    request.body(body.to_owned())
                };
                let known = ask().bearer_auth(&session.access).answer().await;
                assert_is(&known, &user, "false");
                let unknown = ask().answer().await;
                assert_eq!(unknown.status, 401, "{method} {path}: {unknown:?}");
                assert!(unknown.header("www-authenticate").is_some());
            }
        }
    }
}
