//! `DELETE /api/v1/auth/me`

use futures::future::join_all;
use latchkey_tests::answer::{Answer, Answered, admitted};
use latchkey_tests::app::{App, SUPERUSER, Session, Setup, path, superuser_password};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use serde_json::json;

fn allowed() -> Setup {
    App::setup().set("ACCOUNT_DELETION_ENABLED", "true")
}

async fn delete(app: &App, session: &Session, password: &str) -> Answer {
    let request = app.server().request("DELETE", path::ME).bearer_auth(&session.access);
    request.json(&json!({ "password": password })).answer().await
}

#[tokio::test]
async fn a_deleted_account_is_gone_and_its_sessions_end_on_every_replica() {
    let app = allowed().mail(Smtp::Plain).replicas(2).start().await;
    let (user, session) = app.new_session("leaver").await;
    let other = app.log_in(&user).await;
    app.me_at(1, &other.access).await.ok(200);

    let answer = delete(&app, &session, &user.password).await;

    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{answer:?}");
    assert_eq!(answer.cookie()[0], "refresh_token=");
    for gone in [&session, &other] {
        app.me_at(1, &gone.access).await.problem(401);
        // This endpoint does not read the account, so the session itself must have ended.
        let sessions = app.servers[1].get(path::SESSIONS).bearer_auth(&gone.access);
        sessions.answer().await.problem(401);
        app.refresh_at(1, gone).await.problem(401);
    }
    app.post_login(&user.username, &user.password).await.problem(401);
    app.mail().wait_for(&user.email, 1).await;
    let rows = "SELECT count(*) FROM users WHERE username = $1";
    assert_eq!(app.database.count(rows, &user.username).await, 0);
    let audited = "SELECT count(*) FROM audit_events WHERE kind = 'account_deleted' AND user_id = $1::bigint";
    assert_eq!(app.database.count(audited, &user.id.to_string()).await, 1);
    // The user name and the address are available again.
    app.post_user(&latchkey_tests::app::new_user(&user)).await.ok(201);
}

#[tokio::test]
async fn the_deletion_is_disabled_by_default() {
    let app = App::start().await;
    let (user, session) = app.new_session("stayer").await;
    delete(&app, &session, &user.password).await.problem(403);
    let empty = app.server().request("DELETE", path::ME).bearer_auth(&session.access);
    empty.answer().await.problem(403);
    app.log_in(&user).await;
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let app = allowed().start().await;
    let (user, session) = app.new_session("stayer").await;
    let wrong = delete(&app, &session, &format!("{SECRET_MARK} wrong")).await;
    assert_eq!(wrong.invalid_fields(), ["password"]);
    let request = || app.server().request("DELETE", path::ME);
    let nothing = request().bearer_auth(&session.access).json(&json!({})).answer().await;
    assert_eq!(nothing.invalid_fields(), ["password"]);
    request().bearer_auth(&session.access).answer().await.problem(415);
    request().json(&json!({ "password": user.password })).answer().await.problem(401);
    app.me(&session.access).await.ok(200);
    app.log_in(&user).await;
    let refused = "SELECT count(*) FROM audit_events WHERE kind = $1 AND outcome = 'refused'";
    assert_eq!(app.database.count(refused, "account_deleted").await, 1);
}

#[tokio::test]
async fn the_last_active_superuser_cannot_delete_the_own_account() {
    let app = allowed().start().await;
    let superuser = app.superuser().await.clone();
    // A deactivated superuser cannot administer anything.
    let second = create_superuser(&app, "second").await;
    let off = "UPDATE users SET is_active = false WHERE username = $1";
    app.database.execute_for(off, "second").await;
    delete(&app, &superuser, &superuser_password()).await.problem(409);
    app.log_in_as(SUPERUSER, &superuser_password()).await;

    app.database.execute("UPDATE users SET is_active = true").await;
    assert_eq!(delete(&app, &superuser, &superuser_password()).await.status, 204);
    delete(&app, &second, &password_of("second")).await.problem(409);
}

#[tokio::test]
async fn one_of_several_superusers_who_concurrently_delete_themselves_remains() {
    let app = allowed().start().await;
    let mut leavers = vec![(app.superuser().await.clone(), superuser_password())];
    for name in ["second", "third", "fourth"] {
        leavers.push((create_superuser(&app, name).await, password_of(name)));
    }
    // All wait for the lock before the first one continues.
    let mut lock = app.database.begin("SELECT FROM users FOR UPDATE").await;
    let deletions =
        join_all(leavers.iter().map(|(session, password)| admitted(|| delete(&app, session, password))));
    let release = async {
        app.database.wait_until_blocked(4).await;
        sqlx::query("COMMIT").execute(&mut lock).await.unwrap();
    };
    let (answers, ()) = tokio::join!(deletions, release);

    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 204, 204, 409], "{answers:?}");
    let left = "SELECT count(*) FROM users WHERE is_superuser AND $1 <> ''";
    assert_eq!(app.database.count(left, "any").await, 1);
}

fn password_of(name: &str) -> String {
    format!("{SECRET_MARK} of {name}")
}

async fn create_superuser(app: &App, name: &str) -> Session {
    let body = json!({
        "username": name, "email": format!("{name}@example.test"), "name": name,
        "password": password_of(name), "is_superuser": true,
    });
    app.post_user(&body).await.ok(201);
    app.log_in_as(name, &password_of(name)).await
}
