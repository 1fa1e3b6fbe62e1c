//! `PATCH /api/v1/users/{id}`

use insta::assert_json_snapshot;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::smtp::Smtp;
use serde_json::json;

use super::{assert_for_superusers, audited, patch, request, seen, send, watch_outbox};

#[tokio::test]
async fn only_the_given_fields_are_changed() {
    let app = App::start().await;
    let user = app.create_user("changed").await;
    let before = send(&app, "GET", &format!("/{}", user.id)).await.ok(200);

    assert_eq!(patch(&app, user.id, &json!({})).await.ok(200), before);
    assert_eq!(audited(&app, "user_changed", "success", user.id).await, 0, "nothing was changed");

    let renamed = patch(&app, user.id, &json!({ "name": "Jane Roe" })).await.ok(200);
    let mut expected = before.clone();
    expected["name"] = "Jane Roe".into();
    assert_eq!(renamed, expected);
    assert_eq!(send(&app, "GET", &format!("/{}", user.id)).await.ok(200), expected);
    assert_eq!(audited(&app, "user_changed", "success", user.id).await, 1);
    app.log_in(&user).await;
}

#[tokio::test]
async fn a_deactivation_immediately_ends_every_session_on_every_replica() {
    let app = App::setup().replicas(2).start().await;
    let (user, first) = app.new_session("deactivated").await;
    let second = app.log_in(&user).await;
    app.me_at(1, &second.access).await.ok(200);

    assert_eq!(patch(&app, user.id, &json!({ "is_active": false })).await.ok(200)["is_active"], false);

    for replica in 0..2 {
        for session in [&first, &second] {
            app.me_at(replica, &session.access).await.problem(401);
            app.refresh_at(replica, session).await.problem(401);
        }
    }
    app.post_login(&user.username, &user.password).await.problem(403);

    patch(&app, user.id, &json!({ "is_active": true })).await.ok(200);
    app.me(&first.access).await.problem(401);
    app.log_in(&user).await;
}

#[tokio::test]
async fn a_promotion_and_a_demotion_take_effect_immediately() {
    let app = App::start().await;
    let (user, session) = app.new_session("promoted").await;
    let list = || app.get(path::USERS).bearer_auth(&session.access).answer();
    list().await.problem(403);
    patch(&app, user.id, &json!({ "is_superuser": true })).await.ok(200);
    list().await.ok(200);
    patch(&app, user.id, &json!({ "is_superuser": false })).await.ok(200);
    list().await.problem(403);
    app.me(&session.access).await.ok(200);
}

#[tokio::test]
async fn a_new_address_is_verified_invalidates_links_and_the_old_one_gets_a_notice() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    watch_outbox(&app).await;
    let user = app.create_user("moved").await;
    app.database.execute("UPDATE users SET email_verified_at = NULL").await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    app.mail().wait_for(&user.email, 1).await;
    let links = "SELECT count(*) FROM one_time_tokens WHERE $1 <> ''";
    assert_eq!(app.database.count(links, "any").await, 1);

    let email = format!("new-{}", user.email);
    let answer = patch(&app, user.id, &json!({ "email": email })).await.ok(200);

    assert_eq!((&answer["email"], &answer["email_verified"]), (&json!(email), &json!(true)));
    assert_eq!(app.database.count(links, "any").await, 0);
    assert_eq!(seen(&app, "email_changed", &user.email).await, 1);
    assert_eq!(seen(&app, "email_changed", &email).await, 0);
    app.post_login(&user.email, &user.password).await.problem(401);
    app.post_login(&email, &user.password).await.ok(200);
}

#[tokio::test]
async fn a_change_of_case_is_not_a_new_address() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    watch_outbox(&app).await;
    let user = app.create_user("spelt").await;
    app.database.execute("UPDATE users SET email_verified_at = NULL").await;
    let email = user.email.to_uppercase();
    let answer = patch(&app, user.id, &json!({ "email": email })).await.ok(200);
    assert_eq!((&answer["email"], &answer["email_verified"]), (&json!(email), &json!(false)));
    assert_eq!(seen(&app, "email_changed", &user.email).await, 0);
}

#[tokio::test]
async fn a_taken_address_is_a_conflict() {
    let app = App::start().await;
    let (one, other) = (app.create_user("one").await, app.create_user("other").await);
    let answer = patch(&app, one.id, &json!({ "email": other.email.to_uppercase(), "name": "Kept" })).await;
    assert_json_snapshot!(answer.problem(409), { ".instance" => "<request id>" });
    assert_eq!(send(&app, "GET", &format!("/{}", one.id)).await.ok(200)["name"], "John Doe");
}

#[tokio::test]
async fn each_invalid_field_is_listed() {
    let app = App::start().await;
    let user = app.create_user("invalid").await;
    for (body, fields) in [
        (json!({ "name": "", "email": "none" }), &["name", "email"][..]),
        (json!({ "name": null }), &["name"]),
        (json!({ "is_active": "no" }), &["is_active"]),
        (json!({ "password": "an administrator's choice" }), &["body"]),
        (json!({ "password_hash": "$2b$" }), &["body"]),
        (json!({ "username": "renamed" }), &["body"]),
        (json!([]), &["body"]),
    ] {
        assert_eq!(patch(&app, user.id, &body).await.invalid_fields(), fields, "{body}");
    }
    let send = async |kind: &str, body: &'static str| {
        let request = request(&app, "PATCH", &format!("/{}", user.id)).await;
        request.header("content-type", kind).body(body).answer().await
    };
    send("application/json", "{").await.problem(400);
    send("text/plain", "{}").await.problem(415);
}

#[tokio::test]
async fn other_users_get_403() {
    let app = App::start().await;
    let (user, session) = app.new_session("plain").await;
    assert_for_superusers(&app, &session, "PATCH", &format!("/{}", user.id)).await;
}
