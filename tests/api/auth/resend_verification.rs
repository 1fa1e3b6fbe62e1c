//! `POST /api/v1/auth/verify-email/resend`

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use serde_json::json;

use super::register::{body, open, register, verify};

async fn resend(app: &App, email: &str) -> Answer {
    app.post(path::RESEND_VERIFICATION).json(&json!({ "email": email })).answer().await
}

#[tokio::test]
async fn a_new_link_is_sent_and_the_old_one_is_invalid() {
    let app = open().start().await;
    register(&app, &body("john", "john@example.test")).await.ok(202);
    let first = app.mail().wait_for("john@example.test", 1).await[0].token();

    // Sent to the stored address, in any case of the given one.
    resend(&app, "JOHN@example.test").await.ok(202);

    let second = app.mail().wait_for("john@example.test", 2).await[1].token();
    verify(&app, &first).await.problem(422);
    verify(&app, &second).await.ok(200);
}

#[tokio::test]
async fn the_response_does_not_disclose_whether_the_address_is_unverified() {
    let app = open().start().await;
    let verified = app.create_user("verified").await;
    register(&app, &body("john", "john@example.test")).await.ok(202);
    app.mail().wait_for("john@example.test", 1).await;
    let needed = resend(&app, "john@example.test").await;
    for other in [verified.email.as_str(), "nobody@example.test"] {
        assert_eq!(resend(&app, other).await.ok(202), needed.ok(202));
    }
    app.mail().wait_for("john@example.test", 2).await;
    app.wait_until_outbox_is_empty().await;
    for other in [verified.email.as_str(), "nobody@example.test"] {
        assert!(app.mail().mail_to(other).await.is_empty(), "{other}");
    }
}

#[tokio::test]
async fn an_invalid_request_is_refused() {
    let app = open().start().await;
    assert_eq!(resend(&app, "nowhere").await.invalid_fields(), ["email"]);
    let nothing = app.post(path::RESEND_VERIFICATION).json(&json!({})).answer().await;
    assert_eq!(nothing.invalid_fields(), ["email"]);
    app.post(path::RESEND_VERIFICATION).body("{}").answer().await.problem(415);
    let without_mail = App::start().await;
    resend(&without_mail, "john@example.test").await.problem(503);
}

#[tokio::test]
async fn the_request_is_audited() {
    let app = open().start().await;
    let user = app.create_user("verified").await;
    resend(&app, &user.email).await.ok(202);
    resend(&app, "nobody@example.test").await.ok(202);
    assert_eq!(app.audited_requests("email_verification_requested").await, format!("- {}", user.id));
}
