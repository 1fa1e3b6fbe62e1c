//! Nobody gets more permissions than a superuser granted, and nobody acts on those who have more.

use latchkey_tests::app::{App, SUPERUSER, Session, User, path};
use latchkey_tests::smtp::Smtp;
use serde_json::{Value, json};

use super::{ALL, as_root, call, create, join, officer, send};
use crate::ended_meanwhile::administration;

/// Everything that an escalation would change.
async fn state(app: &App) -> String {
    let sql = "SELECT concat_ws(' | ',
                   (SELECT string_agg(concat_ws(' ', id, username, email, name, is_active, is_superuser), ',' ORDER BY id)
                    FROM users),
                   (SELECT string_agg(concat_ws(' ', id, ended_at), ',' ORDER BY id) FROM sessions),
                   (SELECT string_agg(concat_ws(' ', id, name, description, permissions), ',' ORDER BY id) FROM groups),
                   (SELECT string_agg(concat_ws(' ', group_id, user_id), ',' ORDER BY group_id, user_id)
                    FROM memberships),
                   (SELECT count(*) FROM one_time_tokens), (SELECT count(*) FROM audit_events))
               WHERE $1 <> ''";
    app.database.text(sql, "any").await
}

/// Asserts that requests below `/api/v1/groups` are refused and change nothing.
async fn assert_refused(app: &App, session: &Session, requests: &[(&str, String, Option<Value>)]) {
    for (method, below, body) in requests {
        let before = state(app).await;
        let answer = send(app, session, method, below, body.as_ref()).await;
        assert_eq!(answer.status, 403, "{method} {below} {body:?}: {answer:?}");
        answer.problem(403);
        assert_eq!(state(app).await, before, "{method} {below} {body:?}");
    }
}

#[tokio::test]
async fn a_group_manager_grants_and_withdraws_nothing() {
    let app = App::start().await;
    let (manager, session) = officer(&app, "manager", &["groups.manage", "users.read"]).await;
    create(&app, "plain", &[]).await;
    create(&app, "readers", &["users.read"]).await;
    let own = &manager.username;
    let permissions = |names: &[&str]| Some(json!({ "permissions": names }));
    assert_refused(
        &app,
        &session,
        &[
            ("POST", String::new(), Some(json!({ "name": "new", "permissions": ["users.write"] }))),
            // Not even what the manager has.
            ("POST", String::new(), Some(json!({ "name": "new", "permissions": ["users.read"] }))),
            ("PATCH", format!("/{own}"), permissions(&ALL)),
            ("PATCH", format!("/{own}"), permissions(&["groups.manage", "users.read", "audit.read"])),
            ("PATCH", format!("/{own}"), permissions(&["groups.manage"])),
            ("PATCH", "/plain".to_owned(), permissions(&["users.read"])),
            ("PATCH", "/readers".to_owned(), permissions(&[])),
        ],
    )
    .await;
    // What stays as it is, is not granted.
    let same = json!({ "name": "Readers", "permissions": ["users.read"] });
    send(&app, &session, "PATCH", "/readers", Some(&same)).await.ok(200);
}

#[tokio::test]
async fn a_group_manager_does_not_touch_a_group_that_holds_more() {
    let app = App::start().await;
    let (manager, session) = officer(&app, "manager", &["groups.manage"]).await;
    let (member, other) = (app.create_user("member").await, app.create_user("other").await);
    create(&app, "writers", &["users.write"]).await;
    join(&app, "writers", &member).await;
    // A server of a later release may know more permissions.
    create(&app, "later", &[]).await;
    app.database.execute("UPDATE groups SET permissions = '{of.a.later.release}' WHERE name = 'later'").await;
    for group in ["writers", "later"] {
        assert_refused(
            &app,
            &session,
            &[
                ("PUT", format!("/{group}/members/{}", manager.id), None),
                ("PUT", format!("/{group}/members/{}", other.id), None),
                ("DELETE", format!("/{group}/members/{}", member.id), None),
                ("DELETE", format!("/{group}/members/{}?end_sessions=true", member.id), None),
                ("PATCH", format!("/{group}"), Some(json!({ "name": "taken-over" }))),
                ("PATCH", format!("/{group}"), Some(json!({ "description": "Nothing to see" }))),
                ("PATCH", format!("/{group}"), Some(json!({}))),
                ("DELETE", format!("/{group}"), None),
            ],
        )
        .await;
    }
    // The own group holds no more, and other managers may be appointed.
    let own = format!("/{}/members/{}", manager.username, other.id);
    assert_eq!(send(&app, &session, "PUT", &own, None).await.status, 201);
    assert_eq!(send(&app, &session, "DELETE", &own, None).await.status, 204);
}

#[tokio::test]
async fn a_group_manager_does_not_end_the_sessions_of_those_who_may_do_more() {
    let app = App::start().await;
    let (_, session) = officer(&app, "manager", &["groups.manage"]).await;
    let (writer, writing) = officer(&app, "writer", &["users.write"]).await;
    create(&app, "plain", &[]).await;
    let root = app.database.count("SELECT id FROM users WHERE username = $1", SUPERUSER).await;
    for (id, theirs) in [(writer.id, &writing), (root, app.superuser().await)] {
        let member = format!("/plain/members/{id}");
        assert_eq!(send(&app, &session, "PUT", &member, None).await.status, 201);
        let ending = format!("{member}?end_sessions=true");
        assert_refused(&app, &session, &[("DELETE", ending, None)]).await;
        app.me(&theirs.access).await.ok(200);
        assert_eq!(send(&app, &session, "DELETE", &member, None).await.status, 204);
    }
}

async fn promote(app: &App, user: &User) {
    let key = user.id.to_string();
    app.database.execute_for("UPDATE users SET is_superuser = true WHERE id::text = $1", &key).await;
}

#[tokio::test]
async fn who_writes_accounts_does_not_touch_those_who_may_do_more() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (_, session) = officer(&app, "writer", &["users.write", "groups.manage"]).await;
    let superuser = app.create_user("superuser").await;
    promote(&app, &superuser).await;
    let retired = app.create_user("retired").await;
    promote(&app, &retired).await;
    let key = retired.id.to_string();
    app.database.execute_for("UPDATE users SET is_active = false WHERE id::text = $1", &key).await;
    let (auditor, _) = officer(&app, "auditor", &["audit.read"]).await;
    let (later, _) = officer(&app, "later", &[]).await;
    app.database
        .execute_for(
            "UPDATE groups SET permissions = '{of.a.later.release}' WHERE name = $1",
            &later.username,
        )
        .await;

    for target in [&superuser, &retired, &auditor, &later] {
        let mut requests = administration(target);
        let one = format!("{}/{}", path::USERS, target.id);
        requests.push(("PATCH", one.clone(), Some(json!({ "name": "Changed" }))));
        requests.push(("PATCH", one.clone(), Some(json!({ "is_active": true }))));
        requests.push(("PATCH", one.clone(), Some(json!({ "is_superuser": false }))));
        requests.push(("PATCH", one, Some(json!({}))));
        for (method, path, body) in requests {
            let before = state(&app).await;
            let answer = call(&app, &session, method, &path, body.as_ref()).await;
            assert_eq!(answer.status, 403, "{method} {path} {body:?}: {answer:?}");
            answer.problem(403);
            assert_eq!(state(&app).await, before, "{method} {path} {body:?}");
        }
    }
}

#[tokio::test]
async fn who_writes_accounts_changes_those_who_may_do_no_more() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (_, session) = officer(&app, "writer", &["users.write", "audit.read"]).await;
    let (peer, _) = officer(&app, "peer", &["users.write"]).await;
    let plain = app.create_user("plain").await;
    create(&app, "application-admins", &[]).await;
    join(&app, "application-admins", &plain).await;
    for target in [&peer, &plain] {
        let one = format!("{}/{}", path::USERS, target.id);
        let change = json!({ "name": "Changed", "is_superuser": false });
        call(&app, &session, "PATCH", &one, Some(&change)).await.ok(200);
        let reset = call(&app, &session, "POST", &format!("{one}/password-reset"), None).await;
        assert_eq!(reset.status, 202, "{reset:?}");
        assert_eq!(call(&app, &session, "DELETE", &format!("{one}/sessions"), None).await.status, 204);
        assert_eq!(call(&app, &session, "DELETE", &one, None).await.status, 204);
    }
}

#[tokio::test]
async fn only_a_superuser_makes_superusers() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let (writer, session) = officer(&app, "writer", &ALL).await;
    let plain = app.create_user("plain").await;
    let new = json!({
        "username": "chief", "email": "chief@example.test", "name": "Chief", "is_superuser": true,
    });
    let promotion = json!({ "is_superuser": true });
    let one = |user: &User| format!("{}/{}", path::USERS, user.id);
    for (method, path, body) in [
        ("POST", path::USERS.to_owned(), &new),
        ("PATCH", one(&plain), &promotion),
        ("PATCH", one(&writer), &promotion),
        ("PATCH", one(&writer), &json!({ "is_superuser": true, "name": "Chief" })),
    ] {
        let before = state(&app).await;
        let problem = call(&app, &session, method, &path, Some(body)).await.problem(403);
        assert_eq!(problem["detail"], "This needs a superuser.", "{method} {path}");
        assert_eq!(state(&app).await, before, "{method} {path}");
    }
}

#[tokio::test]
async fn every_refusal_is_counted() {
    let app = App::start().await;
    let (_, session) = officer(&app, "manager", &["groups.manage"]).await;
    create(&app, "writers", &["users.write"]).await;
    let count = async || {
        let labels = ["kind=\"access_denied\"", "outcome=\"refused\""];
        app.server().metric("latchkey_audit_events_total", &labels).await
    };
    let before = count().await;
    send(&app, &session, "DELETE", "/writers", None).await.problem(403);
    send(&app, &session, "POST", "", Some(&json!({ "name": "a", "permissions": ALL }))).await.problem(403);
    call(&app, &session, "GET", path::USERS, None).await.problem(403);
    assert!((count().await - before - 3.0).abs() < 0.1);
    as_root(&app, "DELETE", "/writers", None).await;
}
