//! `POST /api/v1/auth/me/email`

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, User, path};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use serde_json::json;

pub async fn request(app: &App, session: &Session, password: &str, email: &str) -> Answer {
    let body = json!({ "password": password, "email": email });
    app.post(path::MY_EMAIL).bearer_auth(&session.access).json(&body).answer().await
}

pub async fn confirm(app: &App, token: &str) -> Answer {
    app.post(path::CONFIRM_EMAIL).json(&json!({ "token": token })).answer().await
}

/// An app with an SMTP server, an account and a session.
async fn app_with_session(name: &str) -> (App, User, Session) {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (user, session) = app.new_session(name).await;
    (app, user, session)
}

#[tokio::test]
async fn both_addresses_get_an_email_and_the_new_one_must_be_confirmed() {
    let (app, user, session) = app_with_session("mover").await;

    let answer = request(&app, &session, &user.password, "New@Example.test").await;

    answer.ok(202);
    let link = app.mail().wait_for("New@Example.test", 1).await[0].link();
    assert_eq!(link.path(), "/confirm-email");
    let notice = app.mail().wait_for(&user.email, 1).await.remove(0);
    assert!(notice.text().contains("New@Example.test"), "{}", notice.text());
    assert!(!notice.text().contains("token="), "{}", notice.text());
    assert_eq!(app.me(&session.access).await.ok(200)["email"], json!(user.email));
    app.post_login("new@example.test", &user.password).await.problem(401);
    let audited = "SELECT count(*) FROM audit_events WHERE kind = $1 AND outcome = 'success'";
    assert_eq!(app.database.count(audited, "email_change_requested").await, 1);
}

#[tokio::test]
async fn the_response_does_not_disclose_whether_the_address_is_taken() {
    let (app, user, session) = app_with_session("mover").await;
    let owner = app.create_user("owner").await;
    let free = request(&app, &session, &user.password, "free@example.test").await;
    let taken = request(&app, &session, &user.password, &owner.email).await;
    assert_eq!(taken.ok(202), free.ok(202));

    let mail = app.mail().wait_for(&owner.email, 1).await.remove(0);
    // The owner of the address does not lose it by following the link.
    confirm(&app, &mail.token()).await.problem(422);
    assert_eq!(app.me(&session.access).await.ok(200)["email"], json!(user.email));
    app.log_in_as(&owner.email, &owner.password).await;
    let refused = "SELECT detail ->> 'reason' FROM audit_events WHERE kind = $1 AND outcome = 'refused'";
    assert_eq!(app.database.text(refused, "email_changed").await, "email_taken");
}

#[tokio::test]
async fn a_newer_request_invalidates_the_older_link() {
    let (app, user, session) = app_with_session("mover").await;
    request(&app, &session, &user.password, "one@example.test").await.ok(202);
    let one = app.mail().wait_for("one@example.test", 1).await[0].token();
    request(&app, &session, &user.password, "two@example.test").await.ok(202);
    confirm(&app, &one).await.problem(422);
    let two = app.mail().wait_for("two@example.test", 1).await[0].token();
    confirm(&app, &two).await.ok(200);
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let (app, user, session) = app_with_session("mover").await;
    let wrong = request(&app, &session, &format!("{SECRET_MARK} wrong"), "new@example.test").await;
    assert_eq!(wrong.invalid_fields(), ["password"]);
    let body = json!({ "password": user.password, "email": "new@example.test" });
    app.post(path::MY_EMAIL).json(&body).answer().await.problem(401);
    let sent = "SELECT count(*) FROM audit_events WHERE kind = $1 AND outcome = 'refused'";
    assert_eq!(app.database.count(sent, "email_change_requested").await, 1);
    assert!(app.mail().mail_to(&user.email).await.is_empty());
}

#[tokio::test]
async fn an_invalid_address_is_refused() {
    let app = App::setup()
        .mail(Smtp::Plain)
        .set("REGISTRATION_ENABLED", "true")
        .set("REGISTRATION_EMAIL_DOMAINS", "example.test")
        .start()
        .await;
    let (user, session) = app.new_session("mover").await;
    for bad in ["nowhere", "", "a@elsewhere.test", &user.email] {
        let answer = request(&app, &session, &user.password, bad).await;
        assert_eq!(answer.invalid_fields(), ["email"], "{bad}");
    }
    let nothing = app.post(path::MY_EMAIL).bearer_auth(&session.access).json(&json!({})).answer().await;
    assert_eq!(nothing.invalid_fields(), ["password", "email"]);
    let plain = app.post(path::MY_EMAIL).bearer_auth(&session.access).body("{}");
    plain.answer().await.problem(415);
}

#[tokio::test]
async fn without_an_smtp_server_the_request_gets_503() {
    let app = App::start().await;
    let (user, session) = app.new_session("mover").await;
    request(&app, &session, &user.password, "new@example.test").await.problem(503);
}
