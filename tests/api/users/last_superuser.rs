//! At least one superuser who can log in always remains.

use futures::future::join_all;
use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, SUPERUSER, Session, User, path};
use latchkey_tests::smtp::Smtp;
use serde_json::{Value, json};

use super::{audited, named, patch, send};

const ABLE: &str = "SELECT count(*) FROM users \
                    WHERE is_superuser AND is_active AND password_hash IS NOT NULL AND $1 <> ''";

async fn root_id(app: &App) -> i64 {
    app.database.count("SELECT id FROM users WHERE username = $1", SUPERUSER).await
}

#[tokio::test]
async fn the_last_superuser_cannot_be_deleted_demoted_or_deactivated() {
    let app = App::start().await;
    let root = root_id(&app).await;
    let demotion = patch(&app, root, &json!({ "is_superuser": false, "name": "Unchanged" })).await;
    assert_json_snapshot!(demotion.problem(409), { ".instance" => "<request id>" });
    patch(&app, root, &json!({ "is_active": false })).await.problem(409);
    send(&app, "DELETE", &format!("/{root}")).await.problem(409);

    app.me(&app.superuser().await.access).await.ok(200);
    assert_ne!(send(&app, "GET", &format!("/{root}")).await.ok(200)["name"], "Unchanged");
    assert_eq!(audited(&app, "user_changed", "refused", root).await, 2);
    assert_eq!(audited(&app, "user_deleted", "refused", root).await, 1);
    // A change that withdraws no right is allowed.
    patch(&app, root, &json!({ "name": "Root", "is_active": true, "is_superuser": true })).await.ok(200);
}

#[tokio::test]
async fn a_superuser_who_cannot_log_in_does_not_count() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let root = root_id(&app).await;
    let mut invited = named("invited");
    invited["is_superuser"] = true.into();
    let invited = app.post_user(&invited).await.ok(201)["id"].as_i64().unwrap();
    let inactive = app.create_user("inactive").await;
    patch(&app, inactive.id, &json!({ "is_superuser": true, "is_active": false })).await.ok(200);

    patch(&app, root, &json!({ "is_superuser": false })).await.problem(409);

    send(&app, "DELETE", &format!("/{invited}")).await;
    send(&app, "DELETE", &format!("/{}", inactive.id)).await;
    assert_eq!(app.database.count(ABLE, "any").await, 1);
}

#[tokio::test]
async fn a_superuser_can_be_deleted_if_another_remains() {
    let app = App::start().await;
    let root = root_id(&app).await;
    let other = app.create_user("other").await;
    patch(&app, other.id, &json!({ "is_superuser": true })).await.ok(200);
    assert_eq!(send(&app, "DELETE", &format!("/{root}")).await.status, 204);
    assert_eq!(app.database.count(ABLE, "any").await, 1);
}

/// One superuser demotes, deactivates or deletes another, by `number`.
async fn remove(app: &App, number: usize, by: &Session, target: &User) -> Answer {
    let server = &app.servers[number % app.servers.len()];
    let path = format!("{}/{}", path::USERS, target.id);
    let change = |body: Value| server.request("PATCH", &path).bearer_auth(&by.access).json(&body).answer();
    match number % 3 {
        0 => change(json!({ "is_superuser": false })).await,
        1 => change(json!({ "is_active": false })).await,
        _ => server.request("DELETE", &path).bearer_auth(&by.access).answer().await,
    }
}

#[tokio::test]
async fn one_of_several_superusers_who_concurrently_remove_each_other_remains() {
    let app = App::setup().replicas(2).start().await;
    for _ in 0..4 {
        let mut superusers = Vec::new();
        for _ in 0..6 {
            let (user, session) = app.new_session("chief").await;
            patch(&app, user.id, &json!({ "is_superuser": true })).await.ok(200);
            superusers.push((user, session));
        }
        // No other superuser remains.
        app.database.execute("UPDATE users SET is_superuser = false WHERE username NOT LIKE 'chief-%'").await;

        let attempts = superusers.iter().enumerate().map(|(number, (_, session))| {
            let (victim, _) = &superusers[(number + 1) % superusers.len()];
            remove(&app, number, session, victim)
        });
        let answers = join_all(attempts).await;

        let refused = answers.iter().filter(|answer| answer.status == 409).count();
        for answer in &answers {
            assert!([200, 204, 401, 403, 404, 409].contains(&answer.status), "{answer:?}");
        }
        assert!(app.database.count(ABLE, "any").await >= 1, "{refused} of {answers:?}");
        app.database.execute("DELETE FROM users WHERE username LIKE 'chief-%'").await;
        app.database.execute("UPDATE users SET is_superuser = true WHERE username = 'root.admin'").await;
    }
}
