//! What each permission allows: exactly its endpoints.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::smtp::Smtp;
use serde_json::{Value, json};

use super::{ALL, call, create, join, officer};

/// A request with the permission that it needs and the status of its success.
pub(super) type Case = (&'static str, String, Option<Value>, &'static str, u16);

/// The requests of administrators for the account and the group; each can be repeated.
pub(super) fn cases(user_id: i64, name: &str) -> Vec<Case> {
    let (users, groups) = (path::USERS, path::GROUPS);
    let one = format!("{users}/{user_id}");
    let created = json!({ "username": name, "email": format!("{name}@example.test"), "name": "New" });
    vec![
        ("GET", users.to_owned(), None, "users.read", 200),
        ("GET", one.clone(), None, "users.read", 200),
        ("GET", format!("{one}/groups"), None, "users.read", 200),
        ("POST", users.to_owned(), Some(created), "users.write", 201),
        ("PATCH", one.clone(), Some(json!({ "name": "Changed" })), "users.write", 200),
        ("DELETE", format!("{one}/sessions"), None, "users.write", 204),
        ("POST", format!("{one}/password-reset"), None, "users.write", 202),
        ("GET", "/api/v1/audit".to_owned(), None, "audit.read", 200),
        ("GET", groups.to_owned(), None, "groups.manage", 200),
        ("POST", groups.to_owned(), Some(json!({ "name": name })), "groups.manage", 201),
        ("GET", format!("{groups}/{name}"), None, "groups.manage", 200),
        ("PATCH", format!("{groups}/{name}"), Some(json!({ "description": "x" })), "groups.manage", 200),
        ("GET", format!("{groups}/{name}/members"), None, "groups.manage", 200),
        ("PUT", format!("{groups}/{name}/members/{user_id}"), None, "groups.manage", 201),
        ("DELETE", format!("{groups}/{name}/members/{user_id}"), None, "groups.manage", 204),
        ("DELETE", format!("{groups}/{name}"), None, "groups.manage", 204),
        ("DELETE", one, None, "users.write", 204),
    ]
}

#[tokio::test]
async fn each_permission_allows_exactly_its_requests() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    for permission in ALL {
        let (_, session) = officer(&app, "officer", &[permission]).await;
        let target = app.create_user("target").await;
        for (method, path, body, needed, status) in cases(target.id, &format!("by-{permission}")) {
            let answer = call(&app, &session, method, &path, body.as_ref()).await;
            if needed == permission {
                assert_eq!(answer.status, status, "{permission}: {method} {path}: {answer:?}");
            } else {
                let problem = answer.problem(403);
                let expected = format!("This needs the permission {needed}.");
                assert_eq!(problem["detail"], expected, "{permission}: {method} {path}");
                let challenge = answer.header("www-authenticate").unwrap_or_default();
                assert!(challenge.contains("insufficient_scope"), "{challenge}");
            }
        }
        // Introspection and revocation are for superusers and programs.
        for path in [path::INTROSPECT, path::REVOKE] {
            let request = app.post(path).bearer_auth(&session.access).form(&[("token", &session.access)]);
            request.answer().await.problem(403);
        }
    }
}

#[tokio::test]
async fn nobody_else_administers() {
    let app = App::start().await;
    let (_, session) = app.new_session("plain").await;
    create(&app, "plain", &[]).await;
    let target = app.create_user("target").await;
    join(&app, "plain", &target).await;
    for (method, path, _, _, _) in cases(target.id, "plain") {
        app.server().request(method, &path).answer().await.problem(401);
        // Before what is wrong with the body.
        let refused = app.server().request(method, &path).bearer_auth(&session.access).json(&json!([]));
        refused.answer().await.problem(403);
    }
}

#[tokio::test]
async fn the_permissions_of_several_groups_add_up() {
    let app = App::start().await;
    let (user, session) = officer(&app, "officer", &["users.read"]).await;
    call(&app, &session, "GET", "/api/v1/audit", None).await.problem(403);
    create(&app, "auditors", &["audit.read"]).await;
    join(&app, "auditors", &user).await;
    call(&app, &session, "GET", "/api/v1/audit", None).await.ok(200);
    call(&app, &session, "GET", path::USERS, None).await.ok(200);
}
