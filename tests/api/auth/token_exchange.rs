//! `POST /api/v1/auth/token` with token exchange (RFC 8693): who gets which token.

use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, ISSUER, path};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::forged_tokens::{Forged, claim};
use latchkey_tests::{key_set, logs};
use serde_json::{Value, json};

pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A client that exchanges tokens for these targets, and accepts those that these clients exchanged.
pub fn service(id: &str, scopes: &[&str], targets: &[&str], from: &[&str]) -> TestClient {
    TestClient::new(id, scopes)
        .with("grant_types", json!(["client_credentials", EXCHANGE]))
        .with("audiences", json!(targets))
        .with("token_exchange_from", json!(from))
}

/// What is called by people, what that calls, and what that calls.
pub fn services() -> [TestClient; 3] {
    [
        service("web", &["orders:read", "orders:write"], &["orders", "silent", "unknown", ISSUER], &[]),
        service("orders", &["orders:read", "stock:read"], &["stock"], &["web"]),
        service("stock", &[], &[], &["orders"]),
    ]
}

pub async fn exchange(app: &App, client: &TestClient, token: &str, form: &[(&str, &str)]) -> Answer {
    let mut fields =
        vec![("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)];
    fields.retain(|(name, _)| form.iter().all(|(given, _)| given != name));
    fields.extend(form);
    app.post(path::TOKEN).basic_auth(&client.id, Some(&client.secret)).form(&fields).answer().await
}

/// The token that the client gets for a target.
pub async fn exchanged(app: &App, client: &TestClient, token: &str, target: &str) -> String {
    let body = exchange(app, client, token, &[("audience", target)]).await.ok(200);
    body["access_token"].as_str().unwrap().to_owned()
}

async fn introspect_as(app: &App, client: &TestClient, token: &str) -> Value {
    let request = app.post(path::INTROSPECT).basic_auth(&client.id, Some(&client.secret));
    request.form(&[("token", token)]).answer().await.ok(200)
}

#[track_caller]
fn assert_error(answer: &Answer, status: u16, error: &str) {
    let problem = answer.problem(status);
    assert_eq!(problem["error"], error, "{problem}");
}

#[tokio::test]
async fn a_service_exchanges_the_token_of_a_person() {
    let [web, orders, stock] = services();
    let app = App::setup().clients(&[web.clone(), orders.clone(), stock.clone()]).start().await;
    let (user, session) = app.new_session("anna").await;

    let answer = exchange(&app, &web, &session.access, &[("audience", "orders")]).await;

    assert_json_snapshot!(answer.ok(200), { ".access_token" => "<jwt>" }, @r#"
    {
      "access_token": "<jwt>",
      "expires_in": 600,
      "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
      "scope": "orders:read orders:write",
      "token_type": "bearer"
    }
    "#);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(!answer.sets_cookie());
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let forged = Forged::from_token(&token);
    assert_eq!(forged.header["typ"], "at+jwt");
    let claims = Value::Object(forged.claims);
    assert_json_snapshot!(claims, {
        ".iat" => "<time>", ".nbf" => "<time>", ".exp" => "<time>", ".jti" => "<uuid>", ".cred" => "<uuid>",
        ".sid" => "<uuid>", ".sub" => "<user id>",
    }, @r#"
    {
      "act": {
        "sub": "web"
      },
      "aud": "orders",
      "client_id": "web",
      "cred": "<uuid>",
      "exp": "<time>",
      "iat": "<time>",
      "iss": "https://auth.example.test",
      "jti": "<uuid>",
      "nbf": "<time>",
      "scope": "orders:read orders:write",
      "sid": "<uuid>",
      "sub": "<user id>"
    }
    "#);
    assert_eq!(
        (&claims["sub"], &claims["sid"]),
        (&json!(user.id.to_string()), &claim(&session.access, "sid"))
    );
    assert_eq!(claims["cred"], web.entry["credentials"][0]["id"]);

    // The next service, which learns who it is by introspection, calls another one.
    let found = introspect_as(&app, &orders, &token).await;
    assert_json_snapshot!(found, {
        ".iat" => "<time>", ".nbf" => "<time>", ".exp" => "<time>", ".jti" => "<uuid>", ".sid" => "<uuid>",
        ".sub" => "<user id>", ".username" => "<username>",
    }, @r#"
    {
      "act": {
        "sub": "web"
      },
      "active": true,
      "aud": "orders",
      "client_id": "web",
      "exp": "<time>",
      "iat": "<time>",
      "iss": "https://auth.example.test",
      "jti": "<uuid>",
      "nbf": "<time>",
      "scope": "orders:read orders:write",
      "sid": "<uuid>",
      "sub": "<user id>",
      "token_type": "bearer",
      "username": "<username>"
    }
    "#);
    assert_eq!(introspect_as(&app, &web, &token).await, found);
    assert_eq!(introspect_as(&app, &stock, &token).await, json!({ "active": false }));
    let next = exchange(&app, &orders, &token, &[("resource", "stock"), ("requested_token_type", JWT)]).await;
    let body = next.ok(200);
    assert_eq!((&body["scope"], &body["issued_token_type"]), (&json!("orders:read"), &json!(JWT)));
    let next = body["access_token"].as_str().unwrap();
    assert_eq!(claim(next, "act"), json!({ "sub": "orders", "act": { "sub": "web" } }));
    assert_eq!((claim(next, "sub"), claim(next, "sid")), (claims["sub"].clone(), claims["sid"].clone()));
    assert_eq!((claim(next, "client_id"), claim(next, "aud")), (json!("orders"), json!("stock")));
    assert_eq!(introspect_as(&app, &stock, next).await["act"]["act"]["sub"], "web");
}

#[tokio::test]
async fn the_new_token_expires_no_later_than_the_old_one() {
    let [web, orders, stock] = services();
    let web = web.with("access_token_ttl", 300);
    let caller =
        TestClient::new("caller", &[]).with("audiences", json!(["web"])).with("access_token_ttl", 60);
    let app = App::setup().clients(&[web.clone(), orders.clone(), stock, caller.clone()]).start().await;
    let (_, session) = app.new_session("anna").await;
    let first = exchange(&app, &web, &session.access, &[("audience", "orders")]).await.ok(200);
    assert_eq!(first["expires_in"], 300);
    let first = first["access_token"].as_str().unwrap();
    let second = exchanged(&app, &orders, first, "stock").await;
    assert!(claim(&second, "exp").as_i64() <= claim(first, "exp").as_i64());
    let old = caller.token(&app).await;
    let new = exchanged(&app, &web, &old, "orders").await;
    assert_eq!(claim(&new, "exp"), claim(&old, "exp"));
}

#[tokio::test]
async fn both_sides_must_allow_it() {
    let [web, orders, stock] = services();
    let silent = TestClient::new("silent", &[]);
    let plain = TestClient::new("plain", &[]).with("audiences", json!(["orders"]));
    // It is allowed by the target, but does not have it among its audiences.
    let eager = service("eager", &[], &[], &[]);
    let orders = orders.with("token_exchange_from", json!(["web", "eager", "plain"]));
    let clients = [web.clone(), orders, stock, silent, plain.clone(), eager.clone()];
    let app = App::setup().clients(&clients).start().await;
    let (_, session) = app.new_session("anna").await;
    let ask = async |client: &TestClient, form: &[(&str, &str)]| {
        exchange(&app, client, &session.access, form).await
    };

    ask(&web, &[("audience", "orders")]).await.ok(200);
    assert_error(&ask(&plain, &[("audience", "orders")]).await, 400, "unauthorized_client");
    let mut told = Vec::new();
    for (client, target) in [
        (&eager, "orders"),
        (&web, "silent"),
        (&web, "unknown"),
        // Nobody is registered whose id is the audience of this server.
        (&web, ISSUER),
        (&web, "stock"),
        (&web, "Orders"),
        (&web, "web"),
    ] {
        let answer = ask(client, &[("audience", target)]).await;
        assert_error(&answer, 400, "invalid_target");
        told.push(answer.json()["detail"].clone());
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    for two in [
        vec![("audience", "orders"), ("audience", "silent")],
        vec![("audience", "orders"), ("resource", "orders")],
        vec![("resource", "orders silent")],
    ] {
        assert_error(&ask(&web, &two).await, 400, "invalid_target");
    }
    for (scope, granted) in [("orders:write", "orders:write"), ("", "orders:read orders:write")] {
        let body = ask(&web, &[("audience", "orders"), ("scope", scope)]).await.ok(200);
        assert_eq!(body["scope"], granted);
    }
    for scope in ["stock:read", "orders:read admin"] {
        let answer = ask(&web, &[("audience", "orders"), ("scope", scope)]).await;
        assert_error(&answer, 400, "invalid_scope");
    }
    // Without the client's secret nothing is exchanged.
    let wrong = TestClient { secret: "NeverLogged, and wrong".to_owned(), ..web.clone() };
    assert_error(&ask(&wrong, &[("audience", "orders")]).await, 401, "invalid_client");
}

#[tokio::test]
async fn a_client_exchanges_only_what_was_meant_for_it() {
    let [web, orders, stock] = services();
    let caller = TestClient::new("caller", &["orders:read", "other"])
        .with("audiences", json!(["web", "orders", ISSUER]));
    let clients = [web.clone(), orders.clone(), stock.clone(), caller.clone()];
    let app = App::setup().clients(&clients).start().await;
    let (_, session) = app.new_session("anna").await;
    let for_audience = async |audience: &str| {
        let body = caller.token_response(&app, &[("resource", audience)]).await.ok(200);
        body["access_token"].as_str().unwrap().to_owned()
    };
    let form = [("audience", "orders")];

    // A client that called it.
    let body = exchange(&app, &web, &for_audience("web").await, &form).await.ok(200);
    assert_eq!(body["scope"], "orders:read", "the caller has no other scope of the requester");
    let token = body["access_token"].as_str().unwrap();
    assert_eq!((claim(token, "sub"), claim(token, "client_id")), (json!("caller"), json!("web")));
    assert_eq!((claim(token, "sid"), claim(token, "act")), (Value::Null, json!({ "sub": "web" })));
    assert_eq!(claim(token, "prior_creds"), json!([caller.entry["credentials"][0]["id"]]));
    let answer =
        exchange(&app, &web, &for_audience("web").await, &[form[0], ("scope", "orders:write")]).await;
    assert_error(&answer, 400, "invalid_scope");

    let own = web.token_response(&app, &[("resource", "orders")]).await.ok(200);
    let own_exchanged = exchanged(&app, &web, &session.access, "orders").await;
    let person = Forged::from_token(&session.access);
    let past = claim(&session.access, "iat").as_i64().unwrap() - 1;
    let key = key_set::of_this_process();
    for (refused, why) in [
        (for_audience("orders").await, "meant for another client"),
        (for_audience(ISSUER).await, "of a client, meant for this server"),
        (own["access_token"].as_str().unwrap().to_owned(), "its own, which it sent to another"),
        (own_exchanged, "exchanged for another"),
        (session.refresh.clone(), "a refresh token"),
        (person.clone().claim("exp", past).sign(key), "expired"),
        (person.clone().sign(&key_set::generate("ES256")), "of another key"),
        (person.unsigned(), "unsigned"),
        ("nonsense".to_owned(), "no token"),
    ] {
        let answer = exchange(&app, &web, &refused, &form).await;
        assert_eq!(answer.problem(400)["error"], "invalid_request", "{why}");
    }
    app.log_out_at(0, &session).await.ok(200);
    assert_error(&exchange(&app, &web, &session.access, &form).await, 400, "invalid_request");
}

#[tokio::test]
async fn the_parameters_are_those_of_the_rfc() {
    let [web, orders, stock] = services();
    let app = App::setup().clients(&[web.clone(), orders, stock]).start().await;
    let (_, session) = app.new_session("anna").await;
    let target = ("audience", "orders");
    for (form, field) in [
        (vec![target, ("subject_token", "")], "subject_token"),
        (vec![target, ("subject_token_type", "")], "subject_token_type"),
        (
            vec![target, ("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token")],
            "subject_token_type",
        ),
        (
            vec![target, ("requested_token_type", "urn:ietf:params:oauth:token-type:id_token")],
            "requested_token_type",
        ),
        (vec![target, ("actor_token", session.access.as_str())], "actor_token"),
        (vec![target, ("actor_token_type", ACCESS_TOKEN)], "actor_token_type"),
        (vec![], "audience"),
    ] {
        let answer = exchange(&app, &web, &session.access, &form).await;
        assert_eq!(answer.invalid_fields(), [field], "{form:?}");
        assert_error(&answer, 422, "invalid_request");
    }
    for kind in [ACCESS_TOKEN, JWT] {
        exchange(&app, &web, &session.access, &[target, ("subject_token_type", kind)]).await.ok(200);
    }
}

#[tokio::test]
async fn a_token_is_exchanged_at_most_four_times() {
    let ids = ["c0", "c1", "c2", "c3", "c4", "c5"];
    let chain: Vec<_> = (0..ids.len())
        .map(|at| {
            let (next, before) = (ids.get(at + 1).copied(), at.checked_sub(1).map(|at| ids[at]));
            service(ids[at], &["read"], next.as_slice(), before.as_slice())
        })
        .collect();
    let app = App::setup().clients(&chain).start().await;
    let (_, session) = app.new_session("anna").await;
    let mut token = session.access;
    for (client, target) in chain.iter().zip(&ids[1..]).take(4) {
        token = exchanged(&app, client, &token, target).await;
    }
    let act = json!({"sub": "c3", "act": {"sub": "c2", "act": {"sub": "c1", "act": {"sub": "c0"}}}});
    assert_eq!((claim(&token, "act"), claim(&token, "scope")), (act, json!("read")));
    let answer = exchange(&app, &chain[4], &token, &[("audience", "c5")]).await;
    assert_error(&answer, 400, "invalid_request");
}

#[tokio::test]
async fn people_who_may_not_use_a_client_are_not_represented() {
    let [web, orders, stock] = services();
    for (web, orders) in [
        (web.clone().with("allowed_groups", json!(["Staff"])), orders.clone()),
        (web.clone(), orders.clone().with("allowed_groups", json!(["other", "staff"]))),
    ] {
        let app = App::setup().clients(&[web.clone(), orders, stock.clone()]).start().await;
        let (user, session) = app.new_session("anna").await;
        let form = [("audience", "orders")];
        assert_error(&exchange(&app, &web, &session.access, &form).await, 400, "invalid_request");
        let root = &app.superuser().await.access;
        let group = app.post(path::GROUPS).bearer_auth(root).json(&json!({ "name": "staff" }));
        group.answer().await.ok(201);
        let member = format!("{}/staff/members/{}", path::GROUPS, user.id);
        let joined = app.server().request("PUT", &member).bearer_auth(root).answer().await;
        assert_eq!(joined.status, 201);
        exchange(&app, &web, &session.access, &form).await.ok(200);
    }
}

#[tokio::test]
async fn exchanges_are_logged_and_counted_without_a_row() {
    let [web, orders, stock] = services();
    let app = App::setup().clients(&[web.clone(), orders, stock]).start().await;
    let (user, session) = app.new_session("anna").await;
    let token = exchanged(&app, &web, &session.access, "orders").await;
    exchange(&app, &web, &session.access, &[("audience", "unknown")]).await.problem(400);
    for outcome in ["success", "refused"] {
        let count = app.server().metric("latchkey_audit_events_total", &["token_exchanged", outcome]).await;
        assert!((count - 1.0).abs() < 0.5, "{outcome}: {count}");
    }
    let rows = "SELECT count(*) FROM audit_events WHERE kind = $1";
    assert_eq!(app.database.count(rows, "token_exchanged").await, 0);
    let jti = claim(&token, "jti").as_str().unwrap().to_owned();
    let line = app.server().wait_for_log(&jti).await;
    let person = user.id.to_string();
    for part in ["token_exchanged", "orders:read orders:write", "web", person.as_str()] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let output = app.server().log().join("\n");
    assert!(!output.contains(&token) && !output.contains(&session.access) && logs::leak(&output).is_none());
}
