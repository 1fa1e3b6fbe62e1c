//! `POST /api/v1/auth/verify-email`

use futures::future::join_all;
use insta::assert_json_snapshot;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use serde_json::json;

use super::register::{body, open, password, register, verify};

const JOHN: &str = "john@example.test";

/// A registered account, and the token in its e-mail.
async fn registered() -> (App, String) {
    let app = open().start().await;
    register(&app, &body("john", JOHN)).await.ok(202);
    let token = app.mail().wait_for(JOHN, 1).await[0].token();
    (app, token)
}

#[tokio::test]
async fn a_token_is_valid_once() {
    let (app, token) = registered().await;
    assert_json_snapshot!(verify(&app, &token).await.ok(200), @r#"
    {
      "message": "E-mail address verified."
    }
    "#);
    assert_json_snapshot!(verify(&app, &token).await.problem(422), { ".instance" => "<request id>" }, @r#"
    {
      "detail": "The link is not valid, was used already or has expired.",
      "errors": [
        {
          "field": "token",
          "message": "is not valid, was used or has expired"
        }
      ],
      "instance": "<request id>",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    app.log_in_as("john", &password()).await;
    let audited = "SELECT count(*) FROM audit_events WHERE kind = $1 AND user_id = actor_id";
    assert_eq!(app.database.count(audited, "email_verified").await, 1);
}

#[tokio::test]
async fn one_of_several_concurrent_requests_succeeds() {
    let (app, token) = registered().await;
    let answers = join_all((0..6).map(|_| verify(&app, &token))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| [200, 422].contains(&answer.status)), "{answers:?}");
}

#[tokio::test]
async fn a_token_expires_after_a_day() {
    let (app, token) = registered().await;
    let lifetime = "SELECT count(*) FROM one_time_tokens WHERE purpose = $1
                    AND expires_at - created_at = interval '24 hours'";
    assert_eq!(app.database.count(lifetime, "email_verification").await, 1);
    app.database.execute("UPDATE one_time_tokens SET expires_at = now() - interval '1 second'").await;
    verify(&app, &token).await.problem(422);
    app.post_login("john", &password()).await.problem(403);
}

#[tokio::test]
async fn a_token_is_only_valid_for_its_purpose() {
    let (app, token) = registered().await;
    let new_password = format!("{} again", password());
    let reset = json!({ "token": token, "new_password": new_password });
    app.post(path::RESET).json(&reset).answer().await.problem(422);
    app.post(path::CONFIRM_EMAIL).json(&json!({ "token": token })).answer().await.problem(422);
    app.post(&format!("{}/{JOHN}", path::RECOVERY)).answer().await.ok(200);
    let recovery = app.mail().wait_for(JOHN, 2).await[1].token();
    verify(&app, &recovery).await.problem(422);
    verify(&app, &token).await.ok(200);
}

#[tokio::test]
async fn a_token_of_a_deactivated_account_or_an_earlier_address_is_refused() {
    let (app, token) = registered().await;
    let set = async |sql| assert_eq!(app.database.execute_for(sql, "john").await, 1);
    set("UPDATE users SET is_active = false WHERE username = $1").await;
    verify(&app, &token).await.problem(422);
    set("UPDATE users SET is_active = true, email = 'other@example.test' WHERE username = $1").await;
    verify(&app, &token).await.problem(422);
    set("UPDATE users SET email = 'JOHN@example.test' WHERE username = $1").await;
    verify(&app, &token).await.ok(200);
}

#[tokio::test]
async fn a_malformed_body_is_refused() {
    let app = App::start().await;
    for token in ["", "nonsense", "\u{0}", &"a".repeat(5000)] {
        verify(&app, token).await.problem(422);
    }
    let nothing = app.post(path::VERIFY_EMAIL).json(&json!({})).answer().await;
    assert_eq!(nothing.invalid_fields(), ["token"]);
    app.post(path::VERIFY_EMAIL).body("{}").answer().await.problem(415);
    let broken = app.post(path::VERIFY_EMAIL).header("content-type", "application/json").body("{");
    broken.answer().await.problem(400);
}
