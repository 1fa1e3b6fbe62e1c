//! The scopes of a client that are permissions: what its own token allows, and until when.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, ISSUER, SUPERUSER, User, path};
use latchkey_tests::clients_file::{TestClient, credential};
use latchkey_tests::forged_tokens::claim;
use latchkey_tests::smtp::Smtp;
use serde_json::{Value, json};

use super::permissions::cases;
use super::{ALL, as_root, create, join, last_detail, members, officer};
use crate::ended_meanwhile::{administration, lock, release, setup};

/// A client whose scopes are permissions that the owner of the server allows.
fn client(id: &str, permissions: &[&str]) -> TestClient {
    TestClient::new(id, permissions).with("permissions", json!(permissions))
}

async fn call_at(
    app: &App,
    replica: usize,
    token: &str,
    (method, path): (&str, &str),
    body: Option<&Value>,
) -> Answer {
    let request = app.servers[replica].request(method, path).bearer_auth(token);
    let request = if let Some(body) = body { request.json(body) } else { request };
    request.answer().await
}

async fn call(app: &App, token: &str, request: (&str, &str), body: Option<&Value>) -> Answer {
    call_at(app, 0, token, request, body).await
}

/// What requests for an account could change.
async fn state(app: &App, target: &User) -> String {
    let sql = "SELECT concat_ws(' | ',
                   (SELECT concat_ws(' ', username, email, name, is_active, is_superuser) FROM users WHERE id::text = $1),
                   (SELECT count(*) FROM sessions WHERE user_id::text = $1 AND ended_at IS NULL),
                   (SELECT count(*) FROM one_time_tokens), (SELECT count(*) FROM audit_events),
                   (SELECT count(*) FROM users), (SELECT string_agg(name || permissions::text, ',') FROM groups))";
    app.database.text(sql, &target.id.to_string()).await
}

#[tokio::test]
async fn each_scope_allows_exactly_the_requests_of_its_permission() {
    let clients = ALL.map(|permission| client(&format!("only-{permission}"), &[permission]));
    let app = App::setup().mail(Smtp::Plain).clients(&clients).start().await;
    for (client, permission) in clients.iter().zip(ALL) {
        let token = client.token(&app).await;
        let target = app.create_user("target").await;
        for (method, path, body, needed, status) in cases(target.id, &format!("by-{permission}")) {
            let answer = call(&app, &token, (method, &path), body.as_ref()).await;
            if needed == permission {
                assert_eq!(answer.status, status, "{permission}: {method} {path}: {answer:?}");
            } else {
                let problem = answer.problem(403);
                let expected = format!("This needs the permission {needed}.");
                assert_eq!(problem["detail"], expected, "{permission}: {method} {path}");
            }
        }
        for path in [path::INTROSPECT, path::REVOKE] {
            let request = app.post(path).bearer_auth(&token).form(&[("token", &token)]);
            request.answer().await.problem(401);
        }
        app.me(&token).await.problem(401);
    }
}

#[tokio::test]
async fn the_audit_log_names_the_client() {
    let ops = client("ops", &["users.write", "groups.manage"]);
    let app = App::setup().clients(std::slice::from_ref(&ops)).start().await;
    let token = ops.token(&app).await;
    let target = app.create_user("target").await;
    let one = format!("{}/{}", path::USERS, target.id);
    call(&app, &token, ("PATCH", &one), Some(&json!({ "name": "Changed" }))).await.ok(200);
    call(&app, &token, ("POST", path::GROUPS), Some(&json!({ "name": "staff" }))).await.ok(201);
    let member = format!("{}/staff/members/{}", path::GROUPS, target.id);
    assert_eq!(call(&app, &token, ("PUT", &member), None).await.status, 201);
    for (kind, more) in
        [("user_changed", "changed"), ("group_created", "group_id"), ("group_member_added", "group")]
    {
        let detail = last_detail(&app, kind).await;
        assert_eq!(detail["client_id"], "ops", "{kind}: {detail}");
        assert!(!detail[more].is_null(), "{kind}: {detail}");
        let by_nobody = "SELECT count(*) FROM audit_events WHERE kind = $1 AND actor_id IS NULL";
        assert_eq!(app.database.count(by_nobody, kind).await, 1, "{kind}");
    }
    call(&app, &token, ("GET", "/api/v1/audit"), None).await.problem(403);
    let denied = app.server().metric("latchkey_audit_events_total", &["access_denied", "refused"]).await;
    assert!((denied - 1.0).abs() < 0.5, "{denied}");
}

#[tokio::test]
async fn a_scope_that_the_owner_did_not_allow_is_only_a_word() {
    let named = TestClient::new("named", &ALL);
    let narrow = client("narrow", &ALL);
    let elsewhere = client("elsewhere", &ALL).with("audiences", json!(["https://api.example.test", ISSUER]));
    let app = App::setup().clients(&[named.clone(), narrow.clone(), elsewhere.clone()]).start().await;
    let target = app.create_user("target").await;
    let token = |body: Value| body["access_token"].as_str().unwrap().to_owned();
    let without = token(narrow.token_response(&app, &[("scope", "users.read")]).await.ok(200));
    let for_others = elsewhere.token(&app).await;
    let ours = token(elsewhere.token_response(&app, &[("resource", ISSUER)]).await.ok(200));
    let named = named.token(&app).await;
    assert_eq!(claim(&named, "scope"), json!("audit.read groups.manage users.read users.write"));
    for (method, path, body, needed, status) in cases(target.id, "any") {
        let ask = async |token: &str| call(&app, token, (method, &path), body.as_ref()).await;
        ask(&named).await.problem(403);
        ask(&for_others).await.problem(401);
        // Only what was granted to the token.
        if needed != "users.read" {
            ask(&without).await.problem(403);
        }
        if method == "GET" && !path.contains("groups/") {
            assert_eq!(ask(&ours).await.status, status, "{path}");
        }
    }
}

#[tokio::test]
async fn a_client_gains_no_power_over_those_who_may_do_more() {
    let ops = client("ops", &["users.write", "groups.manage"]);
    let app = App::setup().mail(Smtp::Plain).clients(std::slice::from_ref(&ops)).start().await;
    let token = ops.token(&app).await;
    let root = app.database.count("SELECT id FROM users WHERE username = $1", SUPERUSER).await;
    let root =
        User { id: root, username: SUPERUSER.to_owned(), email: String::new(), password: String::new() };
    let (auditor, _) = officer(&app, "auditor", &["audit.read"]).await;
    let plain = app.create_user("plain").await;
    create(&app, "readers", &["users.read"]).await;
    let assert_refused = async |target: &User, request: (&str, &str), body: Option<&Value>| {
        let before = state(&app, target).await;
        let answer = call(&app, &token, request, body).await;
        assert_eq!(answer.status, 403, "{request:?} {body:?}: {answer:?}");
        assert_eq!(state(&app, target).await, before, "{request:?} {body:?}");
    };
    for target in [&root, &auditor] {
        for (method, path, body) in administration(target) {
            assert_refused(target, (method, &path), body.as_ref()).await;
        }
    }
    let new =
        json!({ "username": "chief", "email": "c@example.test", "name": "Chief", "is_superuser": true });
    assert_refused(&plain, ("POST", path::USERS), Some(&new)).await;
    let one = format!("{}/{}", path::USERS, plain.id);
    assert_refused(&plain, ("PATCH", &one), Some(&json!({ "is_superuser": true }))).await;
    let group = json!({ "name": "new", "permissions": ["users.write"] });
    assert_refused(&plain, ("POST", path::GROUPS), Some(&group)).await;
    let readers = format!("{}/readers", path::GROUPS);
    assert_refused(&plain, ("PATCH", &readers), Some(&json!({ "permissions": [] }))).await;
    assert_refused(&plain, ("PUT", &format!("{readers}/members/{}", plain.id)), None).await;
    assert_refused(&plain, ("DELETE", &readers), None).await;

    // Of those who may do no more it changes all.
    create(&app, "writers", &["users.write"]).await;
    join(&app, "writers", &plain).await;
    call(&app, &token, ("PATCH", &one), Some(&json!({ "name": "Changed" }))).await.ok(200);
    let member = format!("{}/writers/members/{}?end_sessions=true", path::GROUPS, plain.id);
    assert_eq!(call(&app, &token, ("DELETE", &member), None).await.status, 204);
    assert_eq!(members(&app, "writers").await, Vec::<String>::new());
    assert_eq!(as_root(&app, "GET", "/readers", None).await.ok(200)["permissions"], json!(["users.read"]));
}

/// What takes the right of the client away.
#[derive(Debug, Clone, Copy)]
enum Withdrawal {
    Permission,
    Scope,
    Secret,
    Client,
    Token,
}

const WITHDRAWALS: [Withdrawal; 5] =
    [Withdrawal::Permission, Withdrawal::Scope, Withdrawal::Secret, Withdrawal::Client, Withdrawal::Token];

impl Withdrawal {
    async fn withdraw(self, app: &App, client: &TestClient, token: &str) {
        let changed = match self {
            Self::Permission => vec![client.clone().with("permissions", json!(["users.read"]))],
            Self::Scope => {
                let less = client.clone().with("permissions", json!(["users.read"]));
                vec![less.with("scopes", json!(["users.read"]))]
            }
            Self::Secret => {
                let other = credential("NeverLogged, the next secret of this client");
                vec![client.clone().with("credentials", json!([other]))]
            }
            Self::Client => Vec::new(),
            Self::Token => {
                let request = app.servers[1].post(path::REVOKE).basic_auth(&client.id, Some(&client.secret));
                let answer = request.form(&[("token", token)]).answer().await;
                assert_eq!(answer.status, 200, "{answer:?}");
                return;
            }
        };
        app.register(&changed).await;
    }

    fn status(self) -> u16 {
        match self {
            Self::Permission | Self::Scope => 403,
            Self::Secret | Self::Client | Self::Token => 401,
        }
    }
}

/// Tokens that were issued before included.
#[tokio::test]
async fn a_right_that_is_withdrawn_is_missing_from_the_next_request_on() {
    let ops = client("ops", &["users.read", "users.write"]);
    let app = App::setup().replicas(2).clients(std::slice::from_ref(&ops)).start().await;
    let target = app.create_user("target").await;
    let one = format!("{}/{}", path::USERS, target.id);
    let change = json!({ "name": "Changed" });
    for withdrawal in WITHDRAWALS {
        app.register(std::slice::from_ref(&ops)).await;
        let token = ops.token(&app).await;
        for replica in 0..2 {
            call_at(&app, replica, &token, ("PATCH", &one), Some(&change)).await.ok(200);
        }
        withdrawal.withdraw(&app, &ops, &token).await;
        for replica in 0..2 {
            let answer = call_at(&app, replica, &token, ("PATCH", &one), Some(&change)).await;
            assert_eq!(answer.status, withdrawal.status(), "{withdrawal:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_right_that_is_withdrawn_during_the_request_changes_nothing() {
    let ops = client("ops", &["users.read", "users.write"]);
    let app = setup().clients(std::slice::from_ref(&ops)).start().await;
    let (target, _) = app.new_session("target").await;
    let one = format!("{}/{}", path::USERS, target.id);
    for withdrawal in WITHDRAWALS {
        let rename = ("PATCH", one.clone(), Some(json!({ "name": "Changed" })));
        let mut requests = administration(&target);
        // Only superusers may do the first one. A registry is loaded within a second, so not all of them each time.
        requests[0] = rename;
        if !matches!(withdrawal, Withdrawal::Token) {
            requests.truncate(2);
        }
        for (method, path, body) in requests {
            let answer = loop {
                app.register(std::slice::from_ref(&ops)).await;
                let token = ops.token(&app).await;
                let before = state(&app, &target).await;
                let held = lock(&app, &target).await;
                let attempt = call(&app, &token, (method, &path), body.as_ref());
                let meanwhile = async {
                    app.database.wait_until_blocked(1).await;
                    withdrawal.withdraw(&app, &ops, &token).await;
                    release(held).await;
                };
                let (answer, ()) = tokio::join!(attempt, meanwhile);
                // The revocation itself is audited.
                if !matches!(withdrawal, Withdrawal::Token) {
                    assert_eq!(state(&app, &target).await, before, "{withdrawal:?} {method} {path}");
                }
                // On a busy machine the registry may be loaded after the request has stopped waiting for the lock.
                if answer.status != 503 {
                    break answer;
                }
            };
            assert_eq!(answer.status, withdrawal.status(), "{withdrawal:?} {method} {path}: {answer:?}");
        }
    }
    let changed = "SELECT count(*) FROM audit_events WHERE kind LIKE 'user_%' AND detail->>'client_id' = $1";
    assert_eq!(app.database.count(changed, "ops").await, 0);
}

/// A revocation that is answered has ended what the token permits: it waits for what has begun.
#[tokio::test]
async fn a_revocation_waits_for_the_changes_that_the_token_has_begun() {
    let ops = client("ops", &["groups.manage"]);
    let app = setup().clients(std::slice::from_ref(&ops)).start().await;
    let token = ops.token(&app).await;
    create(&app, "staff", &[]).await;
    let mut held = app.database.connect().await;
    for sql in ["BEGIN", "SELECT FROM groups WHERE name = 'staff' FOR UPDATE"] {
        sqlx::query(sql).execute(&mut held).await.unwrap();
    }
    let staff = format!("{}/staff", path::GROUPS);
    let change = json!({ "description": "Changed" });
    let attempt = call(&app, &token, ("PATCH", &staff), Some(&change));
    let revocation = async {
        app.database.wait_until_blocked(1).await;
        let revoked = Withdrawal::Token.withdraw(&app, &ops, &token);
        let released = async {
            app.database.wait_until_blocked(2).await;
            release(held).await;
        };
        tokio::join!(revoked, released);
    };
    let (answer, ()) = tokio::join!(attempt, revocation);
    answer.ok(200);
    call(&app, &token, ("PATCH", &staff), Some(&change)).await.problem(401);
}
