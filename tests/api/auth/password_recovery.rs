//! `POST /api/v1/auth/password-recovery/{email}`

use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use latchkey_tests::smtp::Smtp;

async fn recover(app: &App, address: &str) -> Answer {
    app.post(&format!("{}/{address}", path::RECOVERY)).answer().await
}

#[tokio::test]
async fn the_response_does_not_disclose_whether_the_account_exists() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("forgetful").await;

    let known = recover(&app, &user.email).await;
    let unknown = recover(&app, "nobody@example.test").await;

    assert_json_snapshot!(known.ok(200), @r#"
    {
      "message": "Password recovery email sent."
    }
    "#);
    assert_eq!(unknown.ok(200), known.ok(200));
    let names = |answer: &Answer| {
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    assert_eq!(names(&unknown), names(&known));
    app.mail().wait_for(&user.email, 1).await;
    assert!(app.mail().mail_to("nobody@example.test").await.is_empty());
}

#[tokio::test]
async fn the_email_has_text_and_html_with_the_same_link() {
    let app =
        App::setup().mail(Smtp::Plain).set("PUBLIC_URL", "https://login.example.test/base").start().await;
    let user = app.create_user("forgetful").await;

    recover(&app, &user.email).await.ok(200);

    let mail = app.mail().wait_for(&user.email, 1).await.remove(0);
    assert_eq!(mail.message["From"]["Address"], "no-reply@example.test");
    assert_eq!(mail.message["From"]["Name"], "Example Accounts");
    assert!(mail.subject().to_lowercase().contains("password"), "{}", mail.subject());
    let link = mail.link();
    assert!(link.as_str().starts_with("https://login.example.test/base/"), "{link}");
    assert!(mail.html().contains(&link.as_str().replace('&', "&amp;")), "{}", mail.html());
}

#[tokio::test]
async fn the_email_is_sent_to_the_stored_address() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("Case").await;

    recover(&app, &user.email.to_uppercase().replace('@', "%40")).await.ok(200);

    app.mail().wait_for(&user.email, 1).await;
}

#[tokio::test]
async fn an_inactive_account_gets_no_email() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let inactive = app.create_user("inactive").await;
    let active = app.create_user("active").await;
    let sql = "UPDATE users SET is_active = false WHERE username = $1";
    assert_eq!(app.database.execute_for(sql, &inactive.username).await, 1);

    recover(&app, &inactive.email).await.ok(200);
    recover(&app, &active.email).await.ok(200);

    app.mail().wait_for(&active.email, 1).await;
    app.wait_until_outbox_is_empty().await;
    assert!(app.mail().mail_to(&inactive.email).await.is_empty());
}

#[tokio::test]
async fn an_invalid_address_is_refused() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    for address in ["plain", "@example.test", "a@", "a%20b@example.test", "a@b@c", "%00@example.test"] {
        let answer = recover(&app, address).await;
        assert_eq!(answer.invalid_fields(), ["email"], "{address}");
    }
    let too_long = format!("{}@example.test", "a".repeat(300));
    assert_eq!(recover(&app, &too_long).await.invalid_fields(), ["email"]);
}

#[tokio::test]
async fn without_an_smtp_server_the_request_gets_503() {
    let app = App::start().await;
    let known = recover(&app, "root@example.test").await;
    assert_json_snapshot!(known.problem(503), { ".instance" => "<request id>" });
    recover(&app, "nobody@example.test").await.problem(503);
}

#[tokio::test]
async fn the_request_is_audited() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("forgetful").await;
    recover(&app, &user.email.to_uppercase().replace('@', "%40")).await.ok(200);
    recover(&app, "nobody@example.test").await.ok(200);
    assert_eq!(app.audited_requests("password_reset_requested").await, format!("- {}", user.id));
}
