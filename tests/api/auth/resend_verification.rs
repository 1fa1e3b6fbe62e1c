//! `POST /api/v1/auth/verify-email/resend`

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use serde_json::json;

use super::register::{body, open, register, verify};

async fn resend(app: &App, email: &str) -> Answer {
    app.post(path::RESEND_VERIFICATION).json(&json!({ "email": email })).answer().await
}

#[tokio::test]
async fn sends_another_link_and_the_one_before_is_void() {
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
async fn answers_the_same_whatever_the_address_and_writes_to_nobody_else() {
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
async fn says_what_is_wrong() {
    let app = open().start().await;
    assert_eq!(resend(&app, "nowhere").await.invalid_fields(), ["email"]);
    let nothing = app.post(path::RESEND_VERIFICATION).json(&json!({})).answer().await;
    assert_eq!(nothing.invalid_fields(), ["email"]);
    app.post(path::RESEND_VERIFICATION).body("{}").answer().await.problem(415);
    let without_mail = App::start().await;
    resend(&without_mail, "john@example.test").await.problem(503);
}

#[tokio::test]
async fn the_audit_knows_who_was_written_to_and_from_where_it_was_asked() {
    let app = open().start().await;
    let user = app.create_user("verified").await;
    resend(&app, &user.email).await.ok(202);
    resend(&app, "nobody@example.test").await.ok(202);
    assert_eq!(app.audited_requests("email_verification_requested").await, format!("- {}", user.id));
}
