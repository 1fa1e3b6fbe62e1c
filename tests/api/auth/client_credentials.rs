//! `POST /api/v1/auth/token` with `grant_type=client_credentials` (RFC 6749 §4.4).

use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, ISSUER, path};
use latchkey_tests::clients_file::{TestClient, credential};
use latchkey_tests::forged_tokens::{Forged, claim};
use latchkey_tests::logs;
use serde_json::{Value, json};

use crate::limits;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

#[track_caller]
fn assert_error(answer: &Answer, status: u16, error: &str) {
    let problem = answer.problem(status);
    assert_eq!(problem["error"], error, "{problem}");
    assert!(!answer.sets_cookie());
    if status == 401 {
        // RFC 6749 §5.2
        assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic ")));
    }
}

fn orders() -> TestClient {
    TestClient::new("orders", &["orders:read", "orders:write"])
        .with("audiences", json!(["https://api.example.test", "https://other.example.test"]))
}

#[tokio::test]
async fn a_client_gets_an_access_token_for_itself() {
    let client = orders();
    let app = App::setup().clients(std::slice::from_ref(&client)).start().await;

    let answer = client.token_response(&app, &[]).await;

    assert_json_snapshot!(answer.ok(200), { ".access_token" => "<jwt>" }, @r#"
    {
      "access_token": "<jwt>",
      "expires_in": 600,
      "scope": "orders:read orders:write",
      "token_type": "bearer"
    }
    "#);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    assert!(!answer.sets_cookie());
    let token = Forged::from_token(answer.json()["access_token"].as_str().unwrap());
    assert_eq!(token.header["typ"], "at+jwt");
    let claims = Value::Object(token.claims);
    assert_json_snapshot!(claims, {
        ".iat" => "<time>", ".nbf" => "<time>", ".exp" => "<time>", ".jti" => "<uuid>", ".cred" => "<uuid>",
    }, @r#"
    {
      "aud": "https://api.example.test",
      "client_id": "orders",
      "cred": "<uuid>",
      "exp": "<time>",
      "iat": "<time>",
      "iss": "https://auth.example.test",
      "jti": "<uuid>",
      "nbf": "<time>",
      "scope": "orders:read orders:write",
      "sub": "orders"
    }
    "#);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    assert_eq!(claims["cred"], client.entry["credentials"][0]["id"]);
}

#[tokio::test]
async fn a_client_authenticates_in_the_header_or_in_the_form() {
    // Characters that RFC 6749 §2.3.1 requires to be encoded.
    let mut client = TestClient::new("a+b%41/c", &[]);
    client.secret = format!("{} +%41:ü", client.secret);
    client = client.clone().with("credentials", json!([credential(&client.secret)]));
    let app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    let (id, secret) = (client.id.as_str(), client.secret.as_str());
    let ask = || app.post(path::TOKEN);

    let encoded_id = "a%2Bb%2541%2Fc";
    let encoded_secret = secret.replace('%', "%25").replace('+', "%2B").replace(':', "%3A").replace(' ', "+");
    let in_form = [GRANT, ("client_id", id), ("client_secret", secret)];
    for request in [
        ask().basic_auth(id, Some(secret)).form(&[GRANT]),
        ask().basic_auth(encoded_id, Some(&encoded_secret)).form(&[GRANT]),
        ask().form(&in_form),
        // Some programs repeat the id.
        ask().basic_auth(id, Some(secret)).form(&in_form[..2]),
        ask().basic_auth(encoded_id, Some(&encoded_secret)).form(&in_form[..2]),
        // A header of another scheme does not authenticate a client.
        ask().bearer_auth("x").form(&in_form),
    ] {
        let body = request.answer().await.ok(200);
        assert_eq!(claim(body["access_token"].as_str().unwrap(), "sub"), id);
    }

    // RFC 6749 §2.3: not more than one method.
    for request in [
        ask().basic_auth(id, Some(secret)).form(&in_form),
        ask().basic_auth(id, Some(secret)).form(&[GRANT, ("client_secret", secret)]),
        ask().basic_auth("another", Some(secret)).form(&in_form),
        ask().header("authorization", "Basic !").form(&in_form),
        ask().basic_auth(id, Some(secret)).form(&[GRANT, ("client_id", "another")]),
    ] {
        let answer = request.answer().await;
        assert_eq!(answer.invalid_fields(), ["client_secret"]);
        assert_error(&answer, 422, "invalid_request");
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_alike() {
    let client = orders();
    let expired = TestClient::new("expired", &[]);
    let mut past = credential(&expired.secret);
    past["expires_at"] = json!("2020-01-01T00:00:00Z");
    let expired = expired.with("credentials", json!([past]));
    let public = TestClient::new("public", &[])
        .with("type", "public")
        .with("grant_types", json!(["refresh_token"]))
        .with("credentials", json!([]));
    let workload = TestClient::new("workload", &[]).with("type", "workload").with(
        "credentials",
        json!([{ "id": "6f1f9c0e-8f5b-4d1e-9f5e-0a1b2c3d4e5f", "kind": "service_account", "namespace": "a", "name": "b" }]),
    );
    let clients = [client.clone(), expired.clone(), public, workload];
    let app = App::setup().clients(&clients).set("RATE_LIMITS_ENABLED", "false").start().await;
    let refused = |id: &str, secret: &str| {
        let request = app.post(path::TOKEN).basic_auth(id, Some(secret)).form(&[GRANT]);
        async { request.answer().await }
    };
    let mut bodies = Vec::new();
    for (id, secret) in [
        ("orders", "NeverLogged, and wrong"),
        ("orders", &client.secret[1..]),
        ("orders", ""),
        ("Orders", client.secret.as_str()),
        ("unknown", client.secret.as_str()),
        ("", client.secret.as_str()),
        ("expired", expired.secret.as_str()),
        ("public", client.secret.as_str()),
        ("public", ""),
        ("workload", client.secret.as_str()),
        ("%ff", "%ff"),
    ] {
        let answer = refused(id, secret).await;
        assert_error(&answer, 401, "invalid_client");
        bodies.push(answer.json()["detail"].clone());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    for form in [
        vec![GRANT],
        vec![GRANT, ("client_id", "orders")],
        vec![GRANT, ("client_secret", client.secret.as_str())],
    ] {
        assert_error(&app.post(path::TOKEN).form(&form).answer().await, 401, "invalid_client");
    }
    for header in ["Basic", "Basic !", "Basic bm8gY29sb24=", "Basic /w=="] {
        let answer = app.post(path::TOKEN).header("authorization", header).form(&[GRANT]).answer().await;
        assert_error(&answer, 401, "invalid_client");
    }
    // Names that are not registered may be secrets in the wrong field.
    let detail =
        "SELECT count(*) FROM audit_events WHERE kind = 'client_refused' AND detail->>'client_id' = $1";
    assert_eq!(app.database.count(detail, "orders").await, 2);
    assert_eq!(app.database.count(detail, "unknown").await, 0);
}

#[tokio::test]
async fn guesses_are_limited_by_network_and_the_client_is_not() {
    let client = orders();
    let setup = App::setup().clients(std::slice::from_ref(&client)).set("RATE_LIMIT_PER_NETWORK", "30");
    let app = limits::start(setup).await;
    let guess = || app.post(path::TOKEN).basic_auth("orders", Some("NeverLogged, and wrong")).form(&[GRANT]);
    let mut guesses = 0;
    let limited = loop {
        let answer = guess().answer().await;
        if answer.status != 401 {
            break answer;
        }
        guesses += 1;
        assert!(guesses <= 30, "{guesses} guesses were not limited");
    };
    assert_error(&limited, 429, "temporarily_unavailable");
    for _ in 0..40 {
        client.token_response(&app, &[]).await.ok(200);
    }
    assert!(app.server().metric("latchkey_rate_limited_total", &["client", "network"]).await > 0.0);
}

#[tokio::test]
async fn no_more_is_granted_than_the_client_may_have() {
    let client = orders();
    let plain = TestClient::new("plain", &[]);
    let refresher = TestClient::new("refresher", &[]).with("grant_types", json!(["refresh_token"]));
    let app = App::setup().clients(&[client.clone(), plain.clone(), refresher.clone()]).start().await;

    for (form, scope, audience) in [
        (vec![("scope", "orders:write")], "orders:write", "https://api.example.test"),
        (vec![("scope", "orders:write orders:read")], "orders:read orders:write", "https://api.example.test"),
        (vec![("scope", "")], "orders:read orders:write", "https://api.example.test"),
        (
            vec![("resource", "https://other.example.test")],
            "orders:read orders:write",
            "https://other.example.test",
        ),
        (
            vec![("resource", ""), ("resource", "https://other.example.test")],
            "orders:read orders:write",
            "https://other.example.test",
        ),
    ] {
        let body = client.token_response(&app, &form).await.ok(200);
        assert_eq!(body["scope"], scope, "{form:?}");
        let token = body["access_token"].as_str().unwrap();
        assert_eq!((claim(token, "scope"), claim(token, "aud")), (json!(scope), json!(audience)), "{form:?}");
    }
    let body = plain.token_response(&app, &[]).await.ok(200);
    assert_eq!(body.get("scope"), None, "{body}");
    let token = body["access_token"].as_str().unwrap();
    assert_eq!((claim(token, "scope"), claim(token, "aud")), (Value::Null, json!(ISSUER)));

    for scope in ["admin", "orders:read admin", "ORDERS:READ", "orders:read\tx"] {
        assert_error(&client.token_response(&app, &[("scope", scope)]).await, 400, "invalid_scope");
    }
    assert_error(&plain.token_response(&app, &[("scope", "orders:read")]).await, 400, "invalid_scope");
    let [one, other] = ["https://api.example.test", "https://other.example.test"];
    for resources in [vec![ISSUER], vec!["https://api.example.test/"], vec![one, other], vec![one, one]] {
        let form: Vec<_> = resources.iter().map(|resource| ("resource", *resource)).collect();
        assert_error(&client.token_response(&app, &form).await, 400, "invalid_target");
    }
    assert_error(&refresher.token_response(&app, &[]).await, 400, "unauthorized_client");
    let refused =
        app.server().metric("latchkey_audit_events_total", &["client_token_issued", "refused"]).await;
    assert!(refused >= 10.0, "{refused}");
}

#[tokio::test]
async fn both_secrets_work_while_one_is_rotated() {
    let old = TestClient::new("rotated", &[]);
    let mut new = old.clone();
    new.secret = logs::secret("client");
    let app = App::setup().clients(std::slice::from_ref(&old)).start().await;
    let credentials = [old.entry["credentials"][0].clone(), credential(&new.secret)];
    let before = old.token(&app).await;

    app.register(&[old.clone().with("credentials", json!(credentials))]).await;

    let tokens = [before, old.token(&app).await, new.token(&app).await];
    let ids = tokens.each_ref().map(|token| claim(token, "cred"));
    let [first, second] = [&credentials[0]["id"], &credentials[1]["id"]];
    assert_eq!(ids.each_ref(), [first, first, second]);
    for token in &tokens {
        assert_eq!(app.get(path::VERIFY).bearer_auth(token).answer().await.status, 200);
    }

    app.register(&[old.clone().with("credentials", json!([credentials[1]]))]).await;

    assert_error(&old.token_response(&app, &[]).await, 401, "invalid_client");
    new.token(&app).await;
    let statuses = futures::future::join_all(
        tokens.iter().map(async |token| app.get(path::VERIFY).bearer_auth(token).answer().await.status),
    );
    assert_eq!(statuses.await, [401, 401, 200]);
}

#[tokio::test]
async fn a_token_is_issued_while_both_stores_are_down_and_a_guess_is_not_answered() {
    let client = orders();
    let mut app = App::setup().clients(std::slice::from_ref(&client)).own_postgres().start().await;
    app.redis.stop();
    app.postgres.as_mut().unwrap().stop();
    client.token_response(&app, &[]).await.ok(200);
    let guess = app.post(path::TOKEN).basic_auth("orders", Some("NeverLogged, and wrong")).form(&[GRANT]);
    assert_error(&guess.answer().await, 503, "temporarily_unavailable");
}

#[tokio::test]
async fn issued_tokens_are_logged_and_counted_without_a_secret_or_a_row() {
    let client = orders();
    let app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    let token = client.token(&app).await;
    let jti = claim(&token, "jti").as_str().unwrap().to_owned();
    let line = app.server().wait_for_log(&jti).await;
    for part in ["client_token_issued", "orders:read orders:write", "https://api.example.test"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let digest = client.entry["credentials"][0]["sha256"].as_str().unwrap();
    let output = [app.server().log().join("\n"), app.server().metrics().await].concat();
    assert!(!output.contains(digest) && logs::leak(&output).is_none());
    let counted =
        app.server().metric("latchkey_audit_events_total", &["client_token_issued", "success"]).await;
    assert!((counted - 1.0).abs() < f64::EPSILON, "{counted}");
    let rows = "SELECT count(*) FROM audit_events WHERE kind = $1";
    assert_eq!(app.database.count(rows, "client_token_issued").await, 0);
}
