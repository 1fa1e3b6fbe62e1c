//! A successful request to every documented endpoint and page, whose query plans `query_plans.rs` checks.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, ISSUER, Session, User, path};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::forged_tokens::claim;
use latchkey_tests::logs::SECRET_MARK;
use serde_json::{Value, json};

use crate::auth::revocations::FEED;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Sends them as this user, or as the first superuser.
pub async fn call_every_endpoint(app: &App, user: &User) {
    log_in_and_out(app, user).await;
    change_own_account(app).await;
    introspect_and_revoke(app).await;
    use_client(app).await;
    read_revocations(app).await;
    log_in_through_client(app, user).await;
    administer(app).await;
    manage_groups(app).await;
    follow_links(app, user).await;
}

async fn send(app: &App, method: &str, path: &str, session: &Session, body: Option<&Value>) -> Answer {
    let request = app.server().request(method, path).bearer_auth(&session.access);
    let request = if let Some(body) = body { request.json(body) } else { request };
    let answer = request.answer().await;
    assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    answer
}

async fn log_in_and_out(app: &App, user: &User) {
    let session = app.log_in(user).await;
    app.log_in_as(&user.email, &user.password).await;
    let form = [("username", &user.username), ("password", &user.password)];
    app.post(path::TOKEN).form(&form).answer().await.ok(200);
    app.me(&session.access).await.ok(200);
    app.get(path::VERIFY).bearer_auth(&session.access).answer().await;
    app.refresh(&session).await.ok(200);
    app.log_out(&session).await.ok(200);
    for known in [path::JWKS, path::METADATA] {
        app.get(known).answer().await.ok(200);
    }
}

async fn change_own_account(app: &App) {
    let (user, session) = app.new_session("changing").await;
    let other = app.log_in(&user).await;
    let sessions = send(app, "GET", path::SESSIONS, &session, None).await.json();
    let all = sessions["sessions"].as_array().or(sessions.as_array()).expect("a list of sessions").clone();
    let theirs = all.iter().find(|one| one["current"] == false).expect("the other session");
    let id = theirs["id"].as_str().expect("an id");
    send(app, "DELETE", &format!("{}/{id}", path::SESSIONS), &session, None).await;
    app.me(&other.access).await.problem(401);
    send(app, "GET", path::PREFERENCES, &session, None).await;
    send(app, "PATCH", path::ME, &session, Some(&json!({"name": "Changed", "locale": "de"}))).await;
    let new = format!("{SECRET_MARK} quite another one");
    let body = json!({"current_password": user.password, "new_password": new});
    send(app, "POST", path::MY_PASSWORD, &session, Some(&body)).await;
    let body = json!({"password": new, "email": "changed@example.test"});
    send(app, "POST", path::MY_EMAIL, &session, Some(&body)).await;
    let token = app.mail().wait_for("changed@example.test", 1).await.remove(0).token();
    app.get(&format!("/confirm-email?token={token}")).answer().await;
    app.post(path::CONFIRM_EMAIL).json(&json!({ "token": token })).answer().await.ok(200);
    send(app, "POST", path::LOGOUT_ALL, &session, None).await;
    let again = app.log_in_as(&user.username, &new).await;
    send(app, "DELETE", path::ME, &again, Some(&json!({ "password": new }))).await;
}

async fn introspect_and_revoke(app: &App) {
    let superuser = app.superuser().await;
    let (_, session) = app.new_session("asked-about").await;
    for (endpoint, token) in [
        (path::INTROSPECT, &session.access),
        (path::INTROSPECT, &session.refresh),
        (path::REVOKE, &session.refresh),
    ] {
        let request = app.post(endpoint).bearer_auth(&superuser.access);
        let answer = request.form(&[("token", token)]).answer().await;
        assert_eq!(answer.status, 200, "{endpoint}: {answer:?}");
    }
}

async fn use_client(app: &App) {
    let client = TestClient::new("orders", &[])
        .with("token_exchange_from", json!(["orders", "web"]))
        .with("allowed_groups", json!(["load-1", "exchanging"]));
    let web = TestClient::new("web", &["users.read"])
        .with("permissions", json!(["users.read"]))
        .with("grant_types", json!(["client_credentials", EXCHANGE]))
        .with("audiences", json!([ISSUER, "orders"]));
    app.register(&[client.clone(), web.clone()]).await;
    let own = web.token(app).await;
    let users = format!("{}?limit=1", path::USERS);
    app.get(&users).bearer_auth(&own).answer().await.ok(200);
    let (_, session) = app.new_session("exchanging").await;
    let form = [
        ("grant_type", EXCHANGE),
        ("audience", "orders"),
        ("subject_token", session.access.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ];
    // The person is in none of the groups.
    app.post(path::TOKEN).basic_auth("web", Some(&web.secret)).form(&form).answer().await.problem(400);
    let token = client.token(app).await;
    let status = async || app.get(path::VERIFY).bearer_auth(&token).answer().await.status;
    assert_eq!(status().await, 200);
    for endpoint in [path::INTROSPECT, path::REVOKE, path::REVOKE] {
        let request = app.post(endpoint).basic_auth("orders", Some(&client.secret));
        assert_eq!(request.form(&[("token", &token)]).answer().await.status, 200, "{endpoint}");
    }
    assert_eq!(status().await, 401);
}

/// The first page of many, the next one, and one after a wait.
async fn read_revocations(app: &App) {
    let client = TestClient::new("gateway", &["revocations.read"]);
    app.register(std::slice::from_ref(&client)).await;
    let token = client.token(app).await;
    let mut after = String::new();
    for wait in [0, 0, 1] {
        let path = format!("{FEED}?wait={wait}{after}");
        let answer = app.get(&path).bearer_auth(&token).answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        after = format!("&after={}", claim(&answer.body, "cursor").as_str().expect("a cursor"));
    }
}

/// The groups of the person and the scopes of the session are read.
async fn log_in_through_client(app: &App, user: &User) {
    let claim = json!({ "name": "roles", "values": [{ "group": "load-1", "value": "reader" }] });
    let client = TestClient::new("shop", &["groups"])
        .with("grant_types", json!(["password", "refresh_token"]))
        .with("claims", json!([claim]));
    app.register(std::slice::from_ref(&client)).await;
    let post = async |form: &[(&str, &str)]| {
        app.post(path::TOKEN).basic_auth("shop", Some(&client.secret)).form(form).answer().await.ok(200)
    };
    let granted = post(&[("username", &user.username), ("password", &user.password)]).await;
    let token = granted["refresh_token"].as_str().expect("a refresh token");
    post(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await;
}

async fn administer(app: &App) {
    let superuser = app.superuser().await;
    let id = app.create_user("administered").await.id;
    let one = format!("{}/{id}", path::USERS);
    for query in [
        "",
        "?limit=50",
        "?search=load-1",
        "?is_superuser=true",
        "?is_active=false",
        "?search=load%2077&is_active=true",
    ] {
        let page = send(app, "GET", &format!("{}{query}", path::USERS), superuser, None).await.json();
        if let Some(cursor) = page["next_cursor"].as_str().or(page["cursor"].as_str()) {
            let joint = if query.is_empty() { '?' } else { '&' };
            let next = format!("{}{query}{joint}cursor={cursor}", path::USERS);
            send(app, "GET", &next, superuser, None).await;
        }
    }
    for query in
        ["", "?kind=login", "?user_id=77", "?actor_id=77", "?outcome=refused", "?kind=login&user_id=77"]
    {
        send(app, "GET", &format!("/api/v1/audit{query}"), superuser, None).await;
    }
    send(app, "GET", &one, superuser, None).await;
    let change = json!({"name": "Administered", "email": "administered@example.test", "is_active": false});
    send(app, "PATCH", &one, superuser, Some(&change)).await;
    send(app, "PATCH", &one, superuser, Some(&json!({"is_active": true}))).await;
    send(app, "POST", &format!("{one}/password-reset"), superuser, None).await;
    send(app, "DELETE", &format!("{one}/sessions"), superuser, None).await;
    send(app, "DELETE", &one, superuser, None).await;
    let invited = json!({"username": "invited", "email": "invited@example.test", "name": "Invited"});
    app.post_user(&invited).await.ok(201);
}

/// As a superuser and as a group manager, whose permissions are read and locked.
async fn manage_groups(app: &App) {
    let superuser = app.superuser().await;
    let (manager, session) = app.new_session("manager").await;
    let permissions = json!(["groups.manage", "users.read", "users.write"]);
    let managers = json!({ "name": "managers", "permissions": permissions });
    send(app, "POST", path::GROUPS, superuser, Some(&managers)).await;
    let membership = format!("{}/managers/members/{}", path::GROUPS, manager.id);
    send(app, "PUT", &membership, superuser, None).await;
    let load = |name: &str| format!("{}/{name}", path::GROUPS);
    let in_many: i64 = app.database.count("SELECT id FROM users WHERE username = $1", "load-77").await;
    for session in [superuser, &session] {
        for list in [
            path::GROUPS.to_owned(),
            format!("{}?search=load-1&limit=100", path::GROUPS),
            format!("{}/members", load("load-1")),
            format!("{}/{in_many}/groups", path::USERS),
        ] {
            let page = send(app, "GET", &list, session, None).await.json();
            let cursor = page["next_cursor"].as_str().expect("a second page");
            let joint = if list.contains('?') { '&' } else { '?' };
            send(app, "GET", &format!("{list}{joint}cursor={cursor}"), session, None).await;
        }
        let group = load("planned%2Fgroup");
        send(app, "POST", path::GROUPS, session, Some(&json!({ "name": "planned/group" }))).await;
        send(app, "GET", &group, session, None).await;
        send(app, "PATCH", &group, session, Some(&json!({ "description": "Planned" }))).await;
        let member = format!("{group}/members/{in_many}");
        send(app, "PUT", &member, session, None).await;
        send(app, "DELETE", &format!("{member}?end_sessions=true"), session, None).await;
        send(app, "PUT", &member, session, None).await;
        send(app, "DELETE", &group, session, None).await;
        let account = format!("{}/{in_many}", path::USERS);
        send(app, "PATCH", &account, session, Some(&json!({ "name": "In many groups" }))).await;
    }
    send(app, "DELETE", &format!("{}/{in_many}", path::USERS), &session, None).await;
}

async fn follow_links(app: &App, user: &User) {
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let token = app.mail().wait_for(&user.email, 1).await.remove(0).token();
    app.get(&format!("/reset-password?token={token}")).answer().await;
    let body = json!({ "token": token, "new_password": "another good pass phrase" });
    app.post(path::RESET).json(&body).answer().await.ok(200);

    let registration = json!({
        "username": "registered", "email": "registered@example.test", "name": "Registered",
        "password": format!("{SECRET_MARK} of my own"),
    });
    app.post(path::REGISTER).json(&registration).answer().await.ok(202);
    app.mail().wait_for("registered@example.test", 1).await;
    let body = json!({"email": "registered@example.test"});
    app.post(path::RESEND_VERIFICATION).json(&body).answer().await.ok(202);
    let token = app.mail().wait_for("registered@example.test", 2).await.remove(1).token();
    app.get(&format!("/verify-email?token={token}")).answer().await;
    app.post(path::VERIFY_EMAIL).json(&json!({ "token": token })).answer().await.ok(200);
}
