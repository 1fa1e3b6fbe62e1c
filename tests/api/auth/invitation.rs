//! `POST /api/v1/auth/reset-password` with the token of an invitation, which sets a first password.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, User, path};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use serde_json::json;

/// An account without a password, and the token of its invitation.
async fn invited(app: &App) -> (User, String) {
    let user = app.create_user("invited").await;
    let unset = "UPDATE users SET password_hash = NULL, email_verified_at = NULL WHERE username = $1";
    assert_eq!(app.database.execute_for(unset, &user.username).await, 1);
    let invite = "INSERT INTO outbox (kind, recipient, user_id)
                  SELECT 'invitation', email, id FROM users WHERE username = $1";
    assert_eq!(app.database.execute_for(invite, &user.username).await, 1);
    let mail = app.mail().wait_for(&user.email, 1).await.remove(0);
    assert_eq!(mail.link().path(), "/reset-password");
    let token = mail.token();
    (user, token)
}

#[tokio::test]
async fn an_invitation_sets_the_first_password_and_verifies_the_address() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (user, token) = invited(&app).await;
    app.post_login(&user.username, &user.password).await.problem(401);

    let chosen = format!("{SECRET_MARK} the first");
    let body = json!({ "token": token, "new_password": chosen });
    app.post(path::RESET).json(&body).answer().await.ok(200);

    app.post_login(&user.username, &chosen).await.ok(200);
    app.post(path::RESET).json(&body).answer().await.problem(422);
    let audited = "SELECT count(*) FROM audit_events WHERE kind = $1 AND detail ->> 'link' = 'invitation'";
    assert_eq!(app.database.count(audited, "password_reset").await, 1);
}

#[tokio::test]
async fn an_invitation_is_valid_for_a_week_or_until_a_reset() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (user, token) = invited(&app).await;
    let lifetime = "SELECT count(*) FROM one_time_tokens WHERE purpose = $1
                    AND expires_at - created_at = interval '7 days'";
    assert_eq!(app.database.count(lifetime, "invitation").await, 1);
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let recovery = app.mail().wait_for(&user.email, 2).await[1].token();
    let reset = async |token: &str| {
        let body = json!({ "token": token, "new_password": format!("{SECRET_MARK} the first") });
        app.post(path::RESET).json(&body).answer().await
    };
    reset(&recovery).await.ok(200);
    reset(&token).await.problem(422);
}

#[tokio::test]
async fn the_page_of_an_invitation_sets_the_password() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (user, token) = invited(&app).await;
    let page = app.get(&format!("/reset-password?token={token}")).answer().await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Choose your password") && page.body.contains(&user.username));
    let chosen = format!("{SECRET_MARK} by form");
    let form = [("token", token.as_str()), ("new_password", chosen.as_str())];
    let done = app.post("/reset-password").form(&form).answer().await;
    assert_eq!(done.status, 200, "{done:?}");
    assert!(done.body.contains("Your account is ready"), "{}", done.body);
    app.log_in_as(&user.username, &chosen).await;
}
