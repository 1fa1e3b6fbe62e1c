//! `GET /api/v1/auth/me`

use insta::assert_json_snapshot;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};

#[tokio::test]
async fn the_account_is_returned() {
    let app = App::start().await;
    let (user, session) = app.new_session("john").await;

    let answer = app.me(&session.access).await;

    assert_json_snapshot!(answer.ok(200), {
        ".id" => "<id>", ".username" => "<username>", ".email" => "<email>",
    }, @r#"
    {
      "email": "<email>",
      "id": "<id>",
      "is_active": true,
      "is_superuser": false,
      "name": "John Doe",
      "username": "<username>"
    }
    "#);
    let me = answer.json();
    assert_eq!(me["id"], user.id);
    assert_eq!(me["username"], user.username);
    assert_eq!(me["email"], user.email);
}

#[tokio::test]
async fn a_superuser_is_marked() {
    let app = App::start().await;
    let me = app.me(&app.superuser().await.access).await.ok(200);
    assert_eq!(me["is_superuser"], true);
    assert_eq!(me["email"], "Root@Example.Test", "the address is stored as given");
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    let app = App::start().await;
    let access = &app.superuser().await.access;
    for scheme in ["bearer", "BEARER", "Bearer"] {
        let request = app.get(path::ME).header("authorization", format!("{scheme} {access}"));
        request.answer().await.ok(200);
    }
}

#[tokio::test]
async fn without_a_token_the_challenge_has_no_error() {
    let app = App::start().await;

    let answer = app.get(path::ME).answer().await;

    assert_json_snapshot!(answer.problem(401), { ".instance" => "<request id>" });
    // RFC 6750 §3: no error code when the request had no authentication information.
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(!challenge.contains("error"), "{challenge}");
}

#[tokio::test]
async fn an_invalid_token_is_named_in_the_challenge() {
    let app = App::start().await;

    let answer = app.me("nonsense").await;

    assert_json_snapshot!(answer.problem(401), { ".instance" => "<request id>" });
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
}

#[tokio::test]
async fn a_token_in_the_query_or_a_cookie_is_refused() {
    let app = App::start().await;
    let session = app.superuser().await.clone();

    let in_query = app.get(&format!("{}?access_token={}", path::ME, session.access));
    in_query.answer().await.problem(401);
    let cookies = format!("access_token={}; refresh_token={}", session.access, session.refresh);
    app.get(path::ME).header("cookie", cookies).answer().await.problem(401);
    let basic = app.get(path::ME).header("authorization", format!("Basic {}", session.access));
    basic.answer().await.problem(401);
}

#[tokio::test]
async fn a_refresh_token_is_refused() {
    let app = App::start().await;
    let refresh = app.superuser().await.refresh.clone();
    app.me(&refresh).await.problem(401);
}
