//! `POST /api/v1/auth/token`: the OAuth 2.0 password flow (RFC 6749 §4.3).

use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, SUPERUSER, path, superuser_password};

async fn post(app: &App, form: &[(&str, &str)]) -> Answer {
    app.post(path::TOKEN).form(form).answer().await
}

/// Asserts the members of RFC 6749 §5.2 in addition to those of every problem.
#[track_caller]
fn assert_oauth_error(answer: &Answer, status: u16, error: &str) {
    let problem = answer.problem(status);
    assert_eq!(problem["error"], error, "{problem}");
    assert!(problem["error_description"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(!answer.sets_cookie());
}

#[tokio::test]
async fn the_password_grant_returns_an_access_token() {
    let app = App::start().await;

    let answer = post(&app, &[("username", SUPERUSER), ("password", &superuser_password())]).await;

    assert_json_snapshot!(answer.ok(200), { ".access_token" => "<jwt>" }, @r#"
    {
      "access_token": "<jwt>",
      "expires_in": 604800,
      "token_type": "bearer"
    }
    "#);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    app.me(answer.json()["access_token"].as_str().unwrap()).await.ok(200);
}

#[tokio::test]
async fn every_parameter_of_the_password_grant_is_accepted() {
    let app = App::start().await;
    let answer = post(
        &app,
        &[
            ("grant_type", "password"),
            ("username", SUPERUSER),
            ("password", &superuser_password()),
            ("scope", ""),
            ("client_id", "swagger"),
            ("client_secret", ""),
        ],
    )
    .await;
    answer.ok(200);
}

#[tokio::test]
async fn its_session_can_be_logged_out() {
    let app = App::start().await;
    let answer = post(&app, &[("username", SUPERUSER), ("password", &superuser_password())]).await;
    let access = answer.ok(200)["access_token"].as_str().unwrap().to_owned();

    app.post(path::LOGOUT).bearer_auth(&access).answer().await.ok(200);

    app.me(&access).await.problem(401);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_invalid_grant() {
    let app = App::start().await;

    let wrong = post(&app, &[("username", SUPERUSER), ("password", "wrong")]).await;
    let unknown = post(&app, &[("username", "nobody"), ("password", "wrong")]).await;

    assert_oauth_error(&wrong, 400, "invalid_grant");
    assert_oauth_error(&unknown, 400, "invalid_grant");
    assert_json_snapshot!(wrong.json(), { ".instance" => "<request id>" });
    assert_eq!(wrong.json()["detail"], unknown.json()["detail"]);
    assert_eq!(wrong.json()["error_description"], unknown.json()["error_description"]);
}

#[tokio::test]
async fn a_missing_parameter_is_an_invalid_request() {
    let app = App::start().await;
    for form in [
        vec![("grant_type", "password")],
        vec![("username", SUPERUSER)],
        vec![("password", "wrong")],
        vec![("grant_type", "refresh_token")],
        vec![],
    ] {
        let answer = post(&app, &form).await;
        assert_oauth_error(&answer, 422, "invalid_request");
    }
}

#[tokio::test]
async fn another_grant_type_is_unsupported() {
    let app = App::start().await;
    for grant in ["client_credentials", "authorization_code", "PASSWORD"] {
        let password = superuser_password();
        let form = [("grant_type", grant), ("username", SUPERUSER), ("password", &password)];
        assert_oauth_error(&post(&app, &form).await, 400, "unsupported_grant_type");
    }
}

#[tokio::test]
async fn another_content_type_gets_415() {
    let app = App::start().await;
    let json = serde_json::json!({ "username": SUPERUSER, "password": superuser_password() });
    let answer = app.post(path::TOKEN).json(&json).answer().await;
    assert_oauth_error(&answer, 415, "invalid_request");
}

#[tokio::test]
async fn an_account_that_may_not_log_in_gets_an_invalid_grant_with_the_reason() {
    let app = App::setup().set("RATE_LIMITS_ENABLED", "false").start().await;
    let user = app.create_user("unverified").await;
    let unverified = "UPDATE users SET email_verified_at = NULL WHERE username = $1";
    let deactivated = "UPDATE users SET email_verified_at = now(), is_active = false WHERE username = $1";
    for change in [unverified, deactivated] {
        assert_eq!(app.database.execute_for(change, &user.username).await, 1);

        let token = post(&app, &[("username", &user.username), ("password", &user.password)]).await;

        assert_oauth_error(&token, 400, "invalid_grant");
        let login = app.post_login(&user.username, &user.password).await.problem(403);
        assert_eq!(token.json()["error_description"], login["detail"]);
        assert_eq!(token.json()["detail"], login["detail"]);
        // Only to a client that knows the password.
        let guess = post(&app, &[("username", &user.username), ("password", "wrong")]).await;
        assert_oauth_error(&guess, 400, "invalid_grant");
        assert_ne!(guess.json()["detail"], login["detail"]);
    }
}
