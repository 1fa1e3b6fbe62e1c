//! Exchanged tokens: where they are accepted, and with what they end.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, ISSUER, Session, User, path};
use latchkey_tests::clients_file::{TestClient, credential};
use latchkey_tests::forged_tokens::{Forged, claim};
use latchkey_tests::key_set;
use serde_json::{Value, json};

use super::token_exchange::{exchange, exchanged, service, services};

/// The three services, and a client whose id is the audience of the server: tokens are exchanged for all of its applications.
fn with_applications() -> Vec<TestClient> {
    let applications = service(ISSUER, &[], &[], &["web"]);
    services().into_iter().chain([applications]).collect()
}

async fn verify_at(app: &App, replica: usize, token: &str) -> Answer {
    app.servers[replica].get(path::VERIFY).bearer_auth(token).answer().await
}

fn auth_headers(answer: &Answer) -> Vec<(&str, &str)> {
    let headers = answer.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-auth-"));
    let mut headers: Vec<_> = headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    headers.sort_unstable();
    headers
}

#[tokio::test]
async fn forward_authentication_names_the_person_and_the_client_that_acts() {
    let clients = with_applications();
    let caller = TestClient::new("caller", &["orders:read"]).with("audiences", json!(["web"]));
    let web = clients[0].clone();
    let app = App::setup().clients(&[&clients[..], std::slice::from_ref(&caller)].concat()).start().await;
    let root = app.superuser().await;
    let (user, session) = app.new_session("anna").await;
    let id = user.id.to_string();

    let token = exchanged(&app, &web, &session.access, ISSUER).await;
    let answer = verify_at(&app, 0, &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        auth_headers(&answer),
        [
            ("x-auth-client-id", "web"),
            ("x-auth-email", user.email.as_str()),
            ("x-auth-groups", ""),
            ("x-auth-scopes", "orders:read orders:write"),
            ("x-auth-superuser", "false"),
            ("x-auth-user-id", id.as_str()),
            ("x-auth-username", user.username.as_str()),
        ]
    );
    // The rights of a superuser are not passed on.
    let of_root = exchanged(&app, &web, &root.access, ISSUER).await;
    assert_eq!(verify_at(&app, 0, &of_root).await.header("x-auth-superuser"), Some("false"));
    let of_client = exchanged(&app, &web, &caller.token(&app).await, ISSUER).await;
    let answer = verify_at(&app, 0, &of_client).await;
    assert_eq!((answer.header("x-auth-user-id"), answer.header("x-auth-client-id")), (Some(""), Some("web")));
    assert_eq!(answer.header("x-auth-scopes"), Some("orders:read"));

    let for_another = exchanged(&app, &web, &session.access, "orders").await;
    let answer = verify_at(&app, 0, &for_another).await;
    answer.problem(401);
    assert_eq!(auth_headers(&answer), []);
}

/// Whatever its audience is, it does not stand for the person here.
#[tokio::test]
async fn no_endpoint_takes_an_exchanged_token_for_the_person() {
    let clients = with_applications();
    let web = clients[0]
        .clone()
        .with("scopes", json!(["users.read", "users.write", "audit.read", "groups.manage"]));
    let web = web.clone().with("permissions", web.entry["scopes"].clone());
    let clients = [std::slice::from_ref(&web), &clients[1..]].concat();
    let app = App::setup().clients(&clients).set("RATE_LIMITS_ENABLED", "false").start().await;
    let root = app.superuser().await;
    let tokens = [
        exchanged(&app, &web, &root.access, "orders").await,
        exchanged(&app, &web, &root.access, ISSUER).await,
    ];
    let document = app.get("/openapi.json").answer().await.json();
    let mut asked = 0;
    for (place, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if place == path::VERIFY {
                continue;
            }
            for token in &tokens {
                asked += 1;
                assert_useless(&app, method, place, operation, token).await;
            }
        }
    }
    assert!(asked >= 70, "{asked}");
    // They did nothing either, and are valid.
    app.me(&root.access).await.ok(200);
    app.refresh(root).await.ok(200);
    assert_eq!(verify_at(&app, 0, &tokens[1]).await.status, 200);
}

/// Asserts that a request with the token gets no more than one without.
async fn assert_useless(app: &App, method: &str, place: &str, operation: &Value, token: &str) {
    let refresh = &app.superuser().await.refresh;
    let filled = place.replace("{id}", "1").replace("{name}", "staff").replace("{email}", "a@example.test");
    let request = app.server().request(&method.to_uppercase(), &filled);
    let content = &operation["requestBody"]["content"];
    let request = if content.get("application/x-www-form-urlencoded").is_some() {
        request.form(&[("token", token), ("refresh_token", token)])
    } else if content.is_null() {
        request
    } else {
        request.json(&json!({ "token": refresh }))
    };
    let with = request.try_clone().unwrap().bearer_auth(token).answer().await;
    let security = operation["security"].as_array().into_iter().flatten();
    let needs_bearer = security.filter_map(Value::as_object).any(|one| one.contains_key("bearer"));
    if needs_bearer {
        assert!([401, 403].contains(&with.status), "{method} {place}: {with:?}");
    } else {
        let without = request.answer().await;
        assert_eq!(with.status, without.status, "{method} {place}: {with:?}");
    }
}

#[tokio::test]
async fn nothing_but_an_exchange_makes_such_a_token() {
    let clients = with_applications();
    let app = App::setup().clients(&clients).start().await;
    let (_, session) = app.new_session("anna").await;
    let token = exchanged(&app, &clients[0], &session.access, ISSUER).await;
    let pattern = Forged::from_token(&token);
    for forged in [
        pattern.clone().without_claim("act"),
        pattern.clone().without_claim("cred"),
        pattern.clone().without_claim("sid"),
        pattern.clone().claim("act", json!({ "sub": "orders" })),
        pattern.clone().claim("client_id", "orders"),
        pattern.clone().claim("cred", clients[1].entry["credentials"][0]["id"].clone()),
        pattern.clone().claim("prior_creds", json!(["6f1f9c0e-8f5b-4d1e-9f5e-0a1b2c3d4e5f"])),
        pattern.clone().claim("sub", "web"),
        pattern.clone().header("typ", "rt+jwt"),
    ] {
        // Even with the key of the server.
        let token = forged.sign(key_set::of_this_process());
        verify_at(&app, 0, &token).await.problem(401);
        app.me(&token).await.problem(401);
    }
    verify_at(&app, 0, &pattern.sign(&key_set::generate("ES256"))).await.problem(401);
    assert_eq!(verify_at(&app, 0, &token).await.status, 200);
}

#[derive(Debug, Clone, Copy)]
enum End {
    Logout,
    Deactivation,
    Sessions,
    Removal,
}

impl End {
    async fn bring_about(self, app: &App, user: &User, session: &Session) {
        let root = &app.superuser().await.access;
        let one = format!("{}/{}", path::USERS, user.id);
        let (method, path, body) = match self {
            Self::Logout => {
                app.log_out_at(0, session).await.ok(200);
                return;
            }
            Self::Deactivation => ("PATCH", one, json!({ "is_active": false })),
            Self::Sessions => ("DELETE", format!("{one}/sessions"), Value::Null),
            Self::Removal => ("DELETE", one, Value::Null),
        };
        let request = app.server().request(method, &path).bearer_auth(root);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.answer().await;
        assert!(answer.status < 300, "{answer:?}");
    }
}

#[tokio::test]
async fn it_ends_with_the_session_of_the_person_on_every_replica() {
    let clients = with_applications();
    let [web, orders, stock] = [0, 1, 2].map(|at| clients[at].clone());
    let app = App::setup().replicas(2).clients(&clients).start().await;
    for server in &app.servers {
        server.wait_for_revocation_mode("redis").await;
    }
    for end in [End::Logout, End::Deactivation, End::Sessions, End::Removal] {
        let (user, session) = app.new_session("anna").await;
        let token = exchanged(&app, &web, &session.access, ISSUER).await;
        let first = exchanged(&app, &web, &session.access, "orders").await;
        let second = exchanged(&app, &orders, &first, "stock").await;
        for replica in 0..2 {
            assert_eq!(verify_at(&app, replica, &token).await.status, 200, "{end:?}");
            assert!(is_active(&app, replica, &stock, &second).await, "{end:?}");
        }
        end.bring_about(&app, &user, &session).await;
        let assert_over = async || {
            for replica in 0..2 {
                verify_at(&app, replica, &token).await.problem(401);
                assert!(!is_active(&app, replica, &stock, &second).await, "{end:?}");
            }
        };
        assert_over().await;
        app.redis.run("FLUSHALL").await;
        assert_over().await;
        let again = exchange(&app, &orders, &first, &[("audience", "stock")]).await;
        assert_eq!(again.problem(400)["error"], "invalid_request", "{end:?}");
    }
}

async fn is_active(app: &App, replica: usize, client: &TestClient, token: &str) -> bool {
    let request = app.servers[replica].post(path::INTROSPECT).basic_auth(&client.id, Some(&client.secret));
    request.form(&[("token", token)]).answer().await.ok(200)["active"] == true
}

#[tokio::test]
async fn it_ends_with_each_client_and_each_secret_that_it_came_through() {
    let caller = TestClient::new("caller", &["stock:read", "orders:read"]).with("audiences", json!(["web"]));
    let [web, orders, stock] = services();
    let all = [caller.clone(), web.clone(), orders.clone(), stock.clone()];
    let app = App::setup().replicas(2).clients(&all).start().await;
    let first = exchanged(&app, &web, &caller.token(&app).await, "orders").await;
    let second = exchanged(&app, &orders, &first, "stock").await;
    assert_eq!((claim(&second, "sub"), claim(&second, "scope")), (json!("caller"), json!("orders:read")));
    let assert_active = async |expected: bool, why: &str| {
        for replica in 0..2 {
            assert_eq!(is_active(&app, replica, &stock, &second).await, expected, "{why}");
        }
    };
    assert_active(true, "nothing has changed").await;
    for at in 0..3 {
        let mut others = all.clone().to_vec();
        let removed = others.remove(at);
        app.register(&others).await;
        assert_active(false, &format!("{} is removed", removed.id)).await;
        let secret = "NeverLogged, the next secret of this client";
        others.push(removed.clone().with("credentials", json!([credential(secret)])));
        app.register(&others).await;
        assert_active(false, &format!("{} has another secret", removed.id)).await;
        app.register(&all).await;
        assert_active(true, "everything is registered again").await;
    }
}

#[tokio::test]
async fn the_client_that_got_it_revokes_it_alone() {
    let clients = with_applications();
    let [web, orders] = [0, 1].map(|at| clients[at].clone());
    let app = App::setup().replicas(2).clients(&clients).start().await;
    let (_, session) = app.new_session("anna").await;
    let token = exchanged(&app, &web, &session.access, ISSUER).await;
    let other = exchanged(&app, &web, &session.access, ISSUER).await;
    let revoke = async |client: &TestClient| {
        let request = app.post(path::REVOKE).basic_auth(&client.id, Some(&client.secret));
        request.form(&[("token", &token)]).answer().await
    };
    assert_eq!(revoke(&orders).await.problem(400)["error"], "unauthorized_client");
    assert_eq!(verify_at(&app, 1, &token).await.status, 200);
    assert_eq!(revoke(&web).await.status, 200);
    for replica in 0..2 {
        verify_at(&app, replica, &token).await.problem(401);
        assert_eq!(verify_at(&app, replica, &other).await.status, 200);
    }
    app.me(&session.access).await.ok(200);
}

#[tokio::test]
async fn without_both_stores_nothing_is_exchanged_or_accepted() {
    let clients = with_applications();
    let mut app = App::setup().own_postgres().clients(&clients).start().await;
    let (_, session) = app.new_session("anna").await;
    let token = exchanged(&app, &clients[0], &session.access, ISSUER).await;
    app.redis.stop();
    app.postgres.as_mut().unwrap().stop();
    verify_at(&app, 0, &token).await.problem(503);
    let answer = exchange(&app, &clients[0], &session.access, &[("audience", "orders")]).await;
    assert_eq!(answer.problem(503)["error"], "temporarily_unavailable");
}
