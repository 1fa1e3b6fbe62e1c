//! `POST /api/v1/auth/confirm-email`

use futures::future::join_all;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, Session, User, path};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use serde_json::json;

use super::change_email::{confirm, request};

const NEW: &str = "New@Example.test";

/// An account that has requested [`NEW`], and the token that was mailed there.
async fn requested() -> (App, User, Session, String) {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (user, session) = app.new_session("mover").await;
    request(&app, &session, &user.password, NEW).await.ok(202);
    let token = app.mail().wait_for(NEW, 1).await[0].token();
    app.mail().wait_for(&user.email, 1).await;
    (app, user, session, token)
}

#[tokio::test]
async fn the_address_is_changed_and_the_old_one_gets_a_notice() {
    let (app, user, session, token) = requested().await;

    let answer = confirm(&app, &token).await;

    assert_eq!(answer.ok(200), json!({ "message": "E-mail address changed." }));
    assert_eq!(app.me(&session.access).await.ok(200)["email"], json!(NEW));
    app.log_in_as("new@example.test", &user.password).await;
    app.post_login(&user.email, &user.password).await.problem(401);
    let notice = app.mail().wait_for(&user.email, 2).await.remove(1);
    assert!(notice.text().contains(NEW), "{}", notice.text());
    let audited = "SELECT count(*) FROM audit_events WHERE kind = $1 AND outcome = 'success'";
    assert_eq!(app.database.count(audited, "email_changed").await, 1);
}

#[tokio::test]
async fn a_token_is_valid_once_even_for_concurrent_requests() {
    let (app, _, _, token) = requested().await;
    let answers = join_all((0..5).map(|_| confirm(&app, &token))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| [200, 422].contains(&answer.status)), "{answers:?}");
}

#[tokio::test]
async fn a_reset_link_to_the_old_address_becomes_invalid() {
    let (app, user, _, token) = requested().await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let reset = app.mail().wait_for(&user.email, 2).await[1].token();

    confirm(&app, &token).await.ok(200);

    let body = json!({ "token": reset, "new_password": format!("{SECRET_MARK} stale") });
    app.post(path::RESET).json(&body).answer().await.problem(422);
    app.post_login(NEW, &user.password).await.ok(200);
}

#[tokio::test]
async fn a_password_reset_invalidates_a_confirmation_that_is_not_yet_mailed() {
    let mut app = App::setup().mail(Smtp::Plain).start().await;
    let (user, session) = app.new_session("mover").await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let reset = app.mail().wait_for(&user.email, 1).await[0].token();
    app.mail.as_mut().unwrap().stop();
    request(&app, &session, &user.password, "thief@example.test").await.ok(202);

    // The owner, who receives the e-mail, locks out the thief of the session and the password.
    let body = json!({ "token": reset, "new_password": format!("{SECRET_MARK} mine again") });
    app.post(path::RESET).json(&body).answer().await.ok(200);

    app.mail.as_mut().unwrap().start_again().await;
    app.database
        .execute(
            "UPDATE outbox SET next_attempt_at = now() WHERE next_attempt_at < now() + interval '30 seconds'",
        )
        .await;
    app.mail().wait_for(&user.email, 2).await;
    for mail in app.mail().mail_to("thief@example.test").await {
        confirm(&app, &mail.token()).await.problem(422);
    }
    let left = "SELECT count(*) FROM outbox WHERE kind = $1";
    assert_eq!(app.database.count(left, "email_change").await, 0);
    let tokens = "SELECT count(*) FROM one_time_tokens WHERE purpose = $1 AND used_at IS NULL";
    assert_eq!(app.database.count(tokens, "email_change").await, 0);
}

#[tokio::test]
async fn an_address_that_another_account_has_taken_is_not_changed() {
    let (app, user, session, token) = requested().await;
    let taker = json!({ "username": "taker", "email": NEW.to_lowercase(), "name": "Taker",
                        "password": format!("{SECRET_MARK} of taker") });
    app.post_user(&taker).await.ok(201);
    confirm(&app, &token).await.problem(422);
    assert_eq!(app.me(&session.access).await.ok(200)["email"], json!(user.email));
    app.log_in_as(&user.email, &user.password).await;
    app.log_in_as(NEW, &format!("{SECRET_MARK} of taker")).await;
}

#[tokio::test]
async fn a_token_is_refused_after_a_day_and_for_a_deactivated_account() {
    let (app, user, session, token) = requested().await;
    let off = "UPDATE users SET is_active = false WHERE username = $1";
    app.database.execute_for(off, &user.username).await;
    confirm(&app, &token).await.problem(422);
    app.database.execute("UPDATE users SET is_active = true").await;
    let lifetime = "SELECT count(*) FROM one_time_tokens WHERE purpose = $1
                    AND expires_at - created_at = interval '24 hours'";
    assert_eq!(app.database.count(lifetime, "email_change").await, 1);
    app.database.execute("UPDATE one_time_tokens SET expires_at = now() - interval '1 second'").await;
    confirm(&app, &token).await.problem(422);
    assert_eq!(app.me(&session.access).await.ok(200)["email"], json!(user.email));
}

#[tokio::test]
async fn a_malformed_body_is_refused() {
    let app = App::start().await;
    for token in ["", "nonsense", "\u{0}"] {
        confirm(&app, token).await.problem(422);
    }
    let nothing = app.post(path::CONFIRM_EMAIL).json(&json!({})).answer().await;
    assert_eq!(nothing.invalid_fields(), ["token"]);
    app.post(path::CONFIRM_EMAIL).body("{}").answer().await.problem(415);
}
