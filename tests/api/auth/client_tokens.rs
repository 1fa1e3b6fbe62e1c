//! Access tokens of clients: where they are accepted, and when no longer.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, ISSUER, path};
use latchkey_tests::clients_file::{TestClient, credential};
use latchkey_tests::forged_tokens::{Forged, claim};
use latchkey_tests::key_set;
use serde_json::{Value, json};

async fn verify_at(app: &App, replica: usize, token: &str) -> Answer {
    app.servers[replica].get(path::VERIFY).bearer_auth(token).answer().await
}

async fn verify(app: &App, token: &str) -> Answer {
    verify_at(app, 0, token).await
}

async fn introspect_as(app: &App, client: &TestClient, token: &str) -> Value {
    let request = app.post(path::INTROSPECT).basic_auth(&client.id, Some(&client.secret));
    request.form(&[("token", token)]).answer().await.ok(200)
}

async fn revoke_as(app: &App, replica: usize, client: &TestClient, token: &str) -> Answer {
    let request = app.servers[replica].post(path::REVOKE).basic_auth(&client.id, Some(&client.secret));
    request.form(&[("token", token)]).answer().await
}

fn auth_headers(answer: &Answer) -> Vec<(&str, &str)> {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-auth-"))
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    headers.sort_unstable();
    headers
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    answer.problem(401);
    assert_eq!(auth_headers(answer), []);
}

#[tokio::test]
async fn forward_authentication_names_the_client_and_its_scopes_and_no_account() {
    let orders = TestClient::new("orders", &["orders:read", "orders:write"]);
    let plain = TestClient::new("plain", &[]);
    let app = App::setup().clients(&[orders.clone(), plain.clone()]).start().await;
    for (client, scopes) in [(&orders, "orders:read orders:write"), (&plain, "")] {
        let answer = verify(&app, &client.token(&app).await).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            auth_headers(&answer),
            [
                ("x-auth-client-id", client.id.as_str()),
                ("x-auth-email", ""),
                ("x-auth-groups", ""),
                ("x-auth-scopes", scopes),
                ("x-auth-superuser", "false"),
                ("x-auth-user-id", ""),
                ("x-auth-username", ""),
            ]
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let cookie = format!("access_token={}", orders.token(&app).await);
    assert_eq!(app.get(path::VERIFY).header("cookie", cookie).answer().await.status, 200);
}

#[tokio::test]
async fn forward_authentication_refuses_a_token_for_another_audience() {
    let client =
        TestClient::new("orders", &[]).with("audiences", json!(["https://api.example.test", ISSUER]));
    let app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    assert_refused(&verify(&app, &client.token(&app).await).await);
    let ours = client.token_response(&app, &[("resource", ISSUER)]).await.ok(200);
    assert_eq!(verify(&app, ours["access_token"].as_str().unwrap()).await.status, 200);
}

/// `GET /me`, `/users`, `/logout` and all others: only `/verify` knows clients.
#[tokio::test]
async fn every_other_endpoint_refuses_a_token_of_a_client() {
    let client = TestClient::new("orders", &["users.read", "users.write", "audit.read"]);
    let app =
        App::setup().clients(std::slice::from_ref(&client)).set("RATE_LIMITS_ENABLED", "false").start().await;
    let token = client.token(&app).await;
    let refresh = app.superuser().await.refresh.clone();
    let document = app.get("/openapi.json").answer().await.json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let mut security =
                operation["security"].as_array().into_iter().flatten().filter_map(Value::as_object);
            if !security.any(|one| one.contains_key("bearer")) || path == path::VERIFY {
                continue;
            }
            asked += 1;
            let place = path.replace("{id}", "1");
            let request = app.server().request(&method.to_uppercase(), &place).bearer_auth(&token);
            let is_form = [path::INTROSPECT, path::REVOKE].contains(&path.as_str());
            let request = if operation["requestBody"].is_null() {
                request
            } else if is_form {
                request.form(&[("token", &token)])
            } else {
                // The body of `/refresh`. The others check the token first.
                request.json(&json!({ "token": refresh }))
            };
            let answer = request.answer().await;
            assert!([401, 403].contains(&answer.status), "{method} {path}: {answer:?}");
        }
    }
    assert!(asked >= 20, "{asked}");
    // It did nothing either.
    app.refresh(app.superuser().await).await.ok(200);
    assert_eq!(verify(&app, &token).await.status, 200);
}

#[tokio::test]
async fn nothing_but_the_server_can_make_such_a_token() {
    let client = TestClient::new("orders", &[]);
    let app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    let (_, session) = app.new_session("anna").await;
    let (ours, theirs) = (client.token(&app).await, &session.access);
    let key = key_set::of_this_process();
    let id = claim(&ours, "cred");
    let sid = claim(theirs, "sid");
    let person = Forged::from_token(theirs);
    let pattern = Forged::from_token(&ours);
    for forged in [
        pattern.clone().claim("sid", sid.clone()),
        person.clone().claim("cred", id.clone()),
        pattern.clone().without_claim("cred"),
        pattern.clone().without_claim("cred").claim("sid", sid),
        person.without_claim("sid").claim("cred", id),
        pattern.clone().claim("cred", "6f1f9c0e-8f5b-4d1e-9f5e-0a1b2c3d4e5f"),
        pattern.clone().claim("sub", "billing"),
        pattern.clone().claim("sub", "1").claim("client_id", "1"),
        pattern.clone().header("typ", "rt+jwt"),
        pattern.clone().claim("exp", 1_000_000_000),
        pattern.clone().claim("iss", "https://other.example.test"),
    ] {
        // Even with the key of the server.
        let token = forged.sign(key);
        assert_refused(&verify(&app, &token).await);
        app.me(&token).await.problem(401);
    }
    assert_refused(&verify(&app, &pattern.unsigned()).await);
    assert_refused(&verify(&app, &pattern.sign(&key_set::generate("ES256"))).await);
    assert_eq!(verify(&app, &ours).await.status, 200);
}

#[tokio::test]
async fn tokens_of_a_removed_client_or_credential_are_refused_by_every_replica() {
    let kept = TestClient::new("kept", &[]);
    let rotated = TestClient::new("rotated", &[]);
    let removed = TestClient::new("removed", &[]);
    let app =
        App::setup().replicas(2).clients(&[kept.clone(), rotated.clone(), removed.clone()]).start().await;
    let tokens = [kept.token(&app).await, rotated.token(&app).await, removed.token(&app).await];
    for replica in 0..2 {
        for token in &tokens {
            assert_eq!(verify_at(&app, replica, token).await.status, 200);
        }
    }
    let next = rotated.clone().with("credentials", json!([credential("NeverLogged, the next secret")]));

    app.register(&[kept.clone(), next.clone()]).await;

    for replica in 0..2 {
        assert_eq!(verify_at(&app, replica, &tokens[0]).await.status, 200);
        for token in &tokens[1..] {
            assert_refused(&verify_at(&app, replica, token).await);
            assert_eq!(introspect_as(&app, &kept, token).await, json!({ "active": false }));
        }
    }
    // A client of the same id is another one.
    let again = TestClient::new("removed", &[]);
    app.register(&[kept, next, again.clone()]).await;
    for replica in 0..2 {
        assert_refused(&verify_at(&app, replica, &tokens[2]).await);
    }
    assert_eq!(verify(&app, &again.token(&app).await).await.status, 200);
}

#[tokio::test]
async fn a_revoked_token_is_refused_by_every_replica_also_after_redis_lost_it() {
    let client = TestClient::new("orders", &[]);
    let mut app = App::setup().replicas(2).clients(std::slice::from_ref(&client)).start().await;
    let (token, other) = (client.token(&app).await, client.token(&app).await);
    for server in &app.servers {
        server.wait_for_revocation_mode("redis").await;
    }
    assert_eq!(verify_at(&app, 1, &token).await.status, 200);

    let answer = revoke_as(&app, 0, &client, &token).await;

    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
    let assert_revoked = async |app: &App| {
        for replica in 0..2 {
            assert_refused(&verify_at(app, replica, &token).await);
            assert_eq!(verify_at(app, replica, &other).await.status, 200);
        }
    };
    assert_revoked(&app).await;
    app.redis.run("FLUSHALL").await;
    assert_revoked(&app).await;
    for server in &app.servers {
        server.wait_for_revocation_mode("redis").await;
    }
    assert_revoked(&app).await;
    app.restart(1).await;
    assert_revoked(&app).await;
    app.redis.stop();
    assert_revoked(&app).await;
    // Again, for a client that got no answer.
    assert_eq!(revoke_as(&app, 1, &client, &token).await.status, 200);
    let events = "SELECT count(*) FROM audit_events
        WHERE kind = 'token_revoked' AND detail->>'client_id' = $1 AND user_id IS NULL AND actor_id IS NULL";
    assert_eq!(app.database.count(events, "orders").await, 1);
}

#[tokio::test]
async fn without_both_stores_no_token_is_accepted() {
    let client = TestClient::new("orders", &[]);
    let mut app = App::setup().own_postgres().clients(std::slice::from_ref(&client)).start().await;
    let token = client.token(&app).await;
    assert_eq!(verify(&app, &token).await.status, 200);
    app.redis.stop();
    app.server().wait_for_revocation_mode("postgres").await;
    assert_eq!(verify(&app, &token).await.status, 200);
    app.postgres.as_mut().unwrap().stop();
    verify(&app, &token).await.problem(503);
    let answer = revoke_as(&app, 0, &client, &token).await;
    assert_eq!(answer.problem(503)["error"], "temporarily_unavailable");
}

#[tokio::test]
async fn tokens_of_a_database_that_is_no_more_are_refused() {
    let client = TestClient::new("orders", &[]);
    let mut app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    app.server().wait_for_revocation_mode("redis").await;
    let token = client.token(&app).await;
    let restored = "UPDATE revocation_state SET tokens_valid_from = now() + interval '1 minute'";
    app.database.execute(restored).await;
    app.restart(0).await;
    app.server().wait_for_revocation_mode("redis").await;
    assert_refused(&verify(&app, &token).await);
    app.redis.stop();
    app.server().wait_for_revocation_mode("postgres").await;
    assert_refused(&verify(&app, &token).await);
    app.database.execute("UPDATE revocation_state SET tokens_valid_from = now() - interval '1 hour'").await;
    assert_eq!(verify(&app, &token).await.status, 200);
}

#[tokio::test]
async fn a_registered_client_learns_only_of_tokens_that_concern_it() {
    let caller = TestClient::new("caller", &["read"]).with("audiences", json!(["resource", ISSUER]));
    let resource = TestClient::new("resource", &[]);
    let stranger = TestClient::new("stranger", &[]);
    let clients = [caller.clone(), resource.clone(), stranger.clone()];
    let app = App::setup().clients(&clients).start().await;
    let token = caller.token(&app).await;
    let superuser = &app.superuser().await.access;
    let asked = app.post(path::INTROSPECT).bearer_auth(superuser).form(&[("token", &token)]);
    let by_superuser = asked.answer().await.ok(200);

    insta::assert_json_snapshot!(by_superuser, {
        ".exp" => "<time>", ".iat" => "<time>", ".nbf" => "<time>", ".jti" => "<uuid>",
    }, @r#"
    {
      "active": true,
      "aud": "resource",
      "client_id": "caller",
      "exp": "<time>",
      "iat": "<time>",
      "iss": "https://auth.example.test",
      "jti": "<uuid>",
      "nbf": "<time>",
      "scope": "read",
      "sub": "caller",
      "token_type": "bearer"
    }
    "#);
    assert_eq!(introspect_as(&app, &caller, &token).await, by_superuser);
    assert_eq!(introspect_as(&app, &resource, &token).await, by_superuser);
    let inactive = json!({ "active": false });
    assert_eq!(introspect_as(&app, &stranger, &token).await, inactive);
    let (_, session) = app.new_session("anna").await;
    for token in [&session.access, &session.refresh] {
        assert_eq!(introspect_as(&app, &caller, token).await, inactive);
    }
    for wrong in [&caller.secret[1..], &resource.secret] {
        let request = app.post(path::INTROSPECT).basic_auth("caller", Some(wrong)).form(&[("token", &token)]);
        assert_eq!(request.answer().await.problem(401)["error"], "invalid_client");
    }
    let in_form =
        [("client_id", "caller"), ("client_secret", caller.secret.as_str()), ("token", token.as_str())];
    assert_eq!(app.post(path::INTROSPECT).form(&in_form).answer().await.ok(200), by_superuser);
}

#[tokio::test]
async fn a_registered_client_revokes_only_its_own_tokens() {
    let caller = TestClient::new("caller", &[]);
    let stranger = TestClient::new("stranger", &[]);
    let app = App::setup().clients(&[caller.clone(), stranger.clone()]).start().await;
    let token = caller.token(&app).await;
    let (_, session) = app.new_session("anna").await;
    for foreign in [&token, &session.access, &session.refresh] {
        let answer = revoke_as(&app, 0, &stranger, foreign).await;
        assert_eq!(answer.problem(400)["error"], "unauthorized_client");
    }
    assert_eq!(verify(&app, &token).await.status, 200);
    app.me(&session.access).await.ok(200);
    assert_eq!(revoke_as(&app, 0, &stranger, "nonsense").await.status, 200);

    // A superuser may.
    let superuser = &app.superuser().await.access;
    let request = app.post(path::REVOKE).bearer_auth(superuser).form(&[("token", &token)]);
    assert_eq!(request.answer().await.status, 200);
    assert_refused(&verify(&app, &token).await);
    let by_superuser =
        "SELECT count(*) FROM audit_events e JOIN users a ON a.id = e.actor_id AND a.is_superuser
        WHERE e.kind = 'token_revoked' AND e.detail->>'client_id' = $1";
    assert_eq!(app.database.count(by_superuser, "caller").await, 1);
}

#[tokio::test]
async fn a_token_expires() {
    let client = TestClient::new("orders", &[]).with("access_token_ttl", 60);
    let app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    let token = client.token(&app).await;
    let past = claim(&token, "iat").as_i64().unwrap() - 120;
    let expired = Forged::from_token(&token).claim("exp", past).sign(key_set::of_this_process());
    assert_refused(&verify(&app, &expired).await);
    assert_eq!(introspect_as(&app, &client, &expired).await, json!({ "active": false }));
    assert_eq!(introspect_as(&app, &client, &token).await["active"], true);
}
