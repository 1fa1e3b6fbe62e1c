//! `POST /api/v1/users/{id}/password-reset`

use insta::assert_json_snapshot;
use latchkey_tests::app::App;
use latchkey_tests::smtp::Smtp;
use serde_json::json;

use super::{assert_for_superusers, audited, named, patch, seen, send, watch_outbox};

#[tokio::test]
async fn the_owner_gets_a_link_and_the_password_remains_valid() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("forgetful").await;

    let answer = send(&app, "POST", &format!("/{}/password-reset", user.id)).await;

    assert_json_snapshot!(answer.ok(202));
    app.mail().wait_for(&user.email, 1).await;
    app.log_in(&user).await;
    assert_eq!(audited(&app, "password_reset_requested", "success", user.id).await, 1);
}

#[tokio::test]
async fn an_account_without_a_password_is_invited_again() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    watch_outbox(&app).await;
    let id = app.post_user(&named("invited")).await.ok(201)["id"].as_i64().unwrap();
    send(&app, "POST", &format!("/{id}/password-reset")).await.ok(202);
    assert_eq!(seen(&app, "invitation", "invited@example.test").await, 2);
    assert_eq!(audited(&app, "user_invited", "success", id).await, 2);
}

#[tokio::test]
async fn no_link_is_mailed_that_would_not_work() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("inactive").await;
    patch(&app, user.id, &json!({ "is_active": false })).await.ok(200);
    send(&app, "POST", &format!("/{}/password-reset", user.id)).await.problem(409);
    send(&app, "POST", "/999999/password-reset").await.problem(404);
    let mailless = App::start().await;
    let user = mailless.create_user("unreachable").await;
    send(&mailless, "POST", &format!("/{}/password-reset", user.id)).await.problem(503);
}

#[tokio::test]
async fn other_users_get_403() {
    let app = App::start().await;
    let (user, session) = app.new_session("plain").await;
    assert_for_superusers(&app, &session, "POST", &format!("/{}/password-reset", user.id)).await;
}
