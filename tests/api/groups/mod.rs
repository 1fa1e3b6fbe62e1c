//! `/api/v1/groups`, and the permissions that groups give.

mod change;
mod clients;
mod concurrent;
mod create;
mod delete;
mod escalation;
mod in_tokens;
mod list;
mod members;
mod permissions;
mod read;
mod remove_member;
mod withdrawn;

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, User, path};
use serde_json::{Value, json};

/// Every permission.
const ALL: [&str; 4] = ["audit.read", "groups.manage", "users.read", "users.write"];

/// Sends a request to any path.
async fn call(app: &App, session: &Session, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let request = app.server().request(method, path).bearer_auth(&session.access);
    let request = if let Some(body) = body { request.json(body) } else { request };
    request.answer().await
}

/// Sends a request to a path below `/api/v1/groups`.
async fn send(app: &App, session: &Session, method: &str, below: &str, body: Option<&Value>) -> Answer {
    call(app, session, method, &format!("{}{below}", path::GROUPS), body).await
}

/// The same as the first superuser.
async fn as_root(app: &App, method: &str, below: &str, body: Option<&Value>) -> Answer {
    send(app, app.superuser().await, method, below, body).await
}

/// Creates a group that holds these permissions.
async fn create(app: &App, name: &str, permissions: &[&str]) -> Value {
    let body = json!({ "name": name, "permissions": permissions });
    as_root(app, "POST", "", Some(&body)).await.ok(201)
}

/// Makes an account a member of a group.
async fn join(app: &App, group: &str, user: &User) {
    let answer = as_root(app, "PUT", &format!("/{group}/members/{}", user.id), None).await;
    assert!([201, 204].contains(&answer.status), "{answer:?}");
}

/// Creates an account that has these permissions by a group of its own, whose name is the account's.
async fn officer(app: &App, name: &str, permissions: &[&str]) -> (User, Session) {
    let (user, session) = app.new_session(name).await;
    create(app, &user.username, permissions).await;
    join(app, &user.username, &user).await;
    (user, session)
}

/// The number of audit events of a kind and an actor.
async fn audited(app: &App, kind: &str, actor: i64) -> i64 {
    let sql = "SELECT count(*) FROM audit_events WHERE kind || ' ' || outcome || ' ' || actor_id = $1";
    app.database.count(sql, &format!("{kind} success {actor}")).await
}

/// The detail of the last audit event of a kind.
async fn last_detail(app: &App, kind: &str) -> Value {
    let sql = "SELECT detail::text FROM audit_events WHERE kind = $1 ORDER BY id DESC LIMIT 1";
    serde_json::from_str(&app.database.text(sql, kind).await).expect("JSON")
}

/// The names of the members of a group, in the order of their ids.
async fn members(app: &App, group: &str) -> Vec<String> {
    let page = as_root(app, "GET", &format!("/{group}/members"), None).await.ok(200);
    let members = page["members"].as_array().expect("members");
    members.iter().map(|member| member["username"].as_str().expect("a name").to_owned()).collect()
}
