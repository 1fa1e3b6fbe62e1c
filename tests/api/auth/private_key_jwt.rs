//! Clients that authenticate with a JWT that they sign (RFC 7523, OpenID Connect Core §9).

use jsonwebtoken::{Algorithm, Header};
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, ISSUER, path};
use latchkey_tests::client_keys::{ClientKey, JWT_BEARER, assertion_form};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::forged_tokens::claim;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::limits;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

fn orders(keys: &[&ClientKey]) -> TestClient {
    let credentials: Vec<_> = keys.iter().map(|key| key.credential()).collect();
    TestClient::new("orders", &["orders:read"]).with("credentials", credentials)
}

fn request(app: &App, replica: usize, assertion: &str) -> RequestBuilder {
    let form = [&[GRANT][..], &assertion_form(assertion)].concat();
    app.servers[replica].post(path::TOKEN).form(&form)
}

async fn ask(app: &App, assertion: &str) -> Answer {
    request(app, 0, assertion).answer().await
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!(answer.problem(401)["error"], "invalid_client");
}

#[tokio::test]
async fn each_algorithm_authenticates_at_every_endpoint() {
    let keys: Vec<_> = ["ES256", "EdDSA", "RS256", "PS256"]
        .into_iter()
        .map(|algorithm| ClientKey::generate(algorithm, algorithm))
        .collect();
    let client = orders(&keys.iter().collect::<Vec<_>>())
        .with("grant_types", json!(["client_credentials", "password", "refresh_token"]));
    let app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    let user = app.create_user("ordinary").await;
    for (position, key) in keys.iter().enumerate() {
        let assertion = || key.assertion("orders", &json!({}));
        let body = ask(&app, &assertion()).await.ok(200);
        let token = body["access_token"].as_str().unwrap();
        assert_eq!(claim(token, "sub"), "orders");
        assert_eq!(claim(token, "cred"), client.entry["credentials"][position]["id"]);

        let with_token = |assertion: &str| {
            let form: Vec<_> = assertion_form(assertion).into_iter().chain([("token", token)]).collect();
            form.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
        };
        let introspect = app.post(path::INTROSPECT).form(&with_token(&assertion()));
        assert_eq!(introspect.answer().await.ok(200)["active"], true);
        let revoke = app.post(path::REVOKE).form(&with_token(&assertion()));
        assert_eq!(revoke.answer().await.status, 200);
        let introspect = app.post(path::INTROSPECT).form(&with_token(&assertion()));
        assert_eq!(introspect.answer().await.ok(200)["active"], false);
    }
    // Grants of people.
    let assertion = keys[0].assertion("orders", &json!({}));
    let form = [
        &[("username", user.username.as_str()), ("password", user.password.as_str())][..],
        &assertion_form(&assertion),
    ]
    .concat();
    let body = app.post(path::TOKEN).form(&form).answer().await.ok(200);
    assert_eq!(claim(body["access_token"].as_str().unwrap(), "client_id"), "orders");
    assert_refused(&app.post(path::TOKEN).form(&form).answer().await);
}

#[tokio::test]
async fn an_assertion_is_accepted_once_by_all_replicas() {
    let key = ClientKey::generate("ES256", "1");
    let clients =
        [orders(&[&key]), TestClient::new("other", &[]).with("credentials", json!([key.credential()]))];
    let app = App::setup().replicas(2).clients(&clients).set("RATE_LIMITS_ENABLED", "false").start().await;
    let assertion = key.assertion("orders", &json!({ "jti": "one" }));
    let (first, second) =
        tokio::join!(request(&app, 0, &assertion).answer(), request(&app, 1, &assertion).answer());
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    for replica in [0, 1] {
        assert_refused(&request(&app, replica, &assertion).answer().await);
        // Another assertion with the same id is refused too.
        let again =
            key.assertion("orders", &json!({ "jti": "one", "exp": chrono::Utc::now().timestamp() + 61 }));
        assert_refused(&request(&app, replica, &again).answer().await);
    }
    // Each client chooses its own ids.
    ask(&app, &key.assertion("other", &json!({ "jti": "one" }))).await.ok(200);
    let reasons =
        "SELECT count(*) FROM audit_events WHERE kind = 'client_refused' AND detail->>'reason' = $1";
    assert_eq!(app.database.count(reasons, "replayed").await, 5);
}

#[tokio::test]
async fn an_assertion_with_any_fault_is_refused() {
    let key = ClientKey::generate("ES256", "1");
    let (second, stranger) = (ClientKey::generate("EdDSA", "2"), ClientKey::generate("ES256", "1"));
    let client = orders(&[&key, &second]);
    let secret_only = TestClient::new("secret", &[]);
    let app = App::setup()
        .clients(&[client, secret_only.clone()])
        .set("RATE_LIMITS_ENABLED", "false")
        .start()
        .await;
    let now = chrono::Utc::now().timestamp();
    let token_endpoint = format!("{ISSUER}{}", path::TOKEN);
    for changes in [
        json!({ "iss": "other" }),
        json!({ "sub": "other" }),
        json!({ "aud": "https://other.example.test" }),
        json!({ "aud": format!("{ISSUER}/") }),
        json!({ "aud": [ISSUER, "https://other.example.test"] }),
        json!({ "aud": null }),
        json!({ "exp": null }),
        json!({ "exp": now - 60 }),
        json!({ "exp": now + 3600, "iat": null }),
        json!({ "iat": now - 400, "exp": now + 60 }),
        json!({ "iat": now + 120 }),
        json!({ "nbf": now + 120 }),
        json!({ "jti": null }),
        json!({ "jti": "" }),
    ] {
        let answer = ask(&app, &key.assertion("orders", &changes)).await;
        assert_eq!(answer.status, 401, "{changes}: {answer:?}");
        assert_refused(&answer);
    }
    let header = |kid: Option<&str>, typ: Option<&str>| {
        let mut header = Header::new(Algorithm::ES256);
        (header.kid, header.typ) = (kid.map(str::to_owned), typ.map(str::to_owned));
        header
    };
    let assertion = key.assertion("orders", &json!({}));
    for wrong in [
        stranger.assertion("orders", &json!({})),
        // The key of another algorithm, a key that is not there, and no key although there are two.
        key.assertion_with(&header(Some("2"), None), "orders", &json!({})),
        key.assertion_with(&header(Some("3"), None), "orders", &json!({})),
        key.assertion_with(&header(None, None), "orders", &json!({})),
        key.assertion_with(&header(Some("1"), Some("at+jwt")), "orders", &json!({})),
        key.assertion("unknown", &json!({})),
        key.assertion("secret", &json!({})),
        assertion[..assertion.len() - 4].to_owned(),
        format!("{}.", assertion.rsplit_once('.').unwrap().0),
        "nonsense".to_owned(),
        "a.b.c".to_owned(),
        secret_only.token(&app).await,
    ] {
        assert_refused(&ask(&app, &wrong).await);
    }
    for changes in [
        json!({ "aud": token_endpoint }),
        json!({ "aud": [ISSUER, token_endpoint] }),
        // Some libraries let it live for an hour.
        json!({ "exp": now + 3600 }),
    ] {
        ask(&app, &key.assertion("orders", &changes)).await.ok(200);
    }
    ask(&app, &key.assertion_with(&header(Some("1"), None), "orders", &json!({}))).await.ok(200);
}

#[tokio::test]
async fn a_request_has_one_kind_of_credentials() {
    let key = ClientKey::generate("ES256", "1");
    let mut client = TestClient::new("orders", &[]);
    let secret = client.entry["credentials"][0].clone();
    client = client.with("credentials", json!([secret, key.credential()]));
    let app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    let assertion = key.assertion("orders", &json!({}));
    let fields = assertion_form(&assertion);
    let with = |others: &[(&str, &str)]| {
        let form: Vec<_> = [&[GRANT][..], &fields, others].concat();
        app.post(path::TOKEN).form(&form)
    };
    let secret = client.secret.as_str();
    for request in [
        with(&[("client_id", "orders"), ("client_secret", secret)]),
        with(&[]).basic_auth("orders", Some(secret)),
        with(&[]).basic_auth("other", Some(secret)),
    ] {
        let answer = request.answer().await;
        assert_eq!(answer.invalid_fields(), ["client_assertion"]);
        assert_eq!(answer.json()["error"], "invalid_request");
    }
    for (form, field) in [
        (vec![GRANT, fields[1]], "client_assertion_type"),
        (vec![GRANT, fields[0]], "client_assertion"),
        (
            vec![
                GRANT,
                fields[1],
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
            ],
            "client_assertion_type",
        ),
    ] {
        let answer = app.post(path::TOKEN).form(&form).answer().await;
        assert_eq!(answer.invalid_fields(), [field]);
    }
    for endpoint in [path::INTROSPECT, path::REVOKE] {
        let form = [&fields[..], &[("token", "nonsense"), ("client_secret", secret)]].concat();
        let answer = app.post(endpoint).form(&form).answer().await;
        assert_eq!(answer.invalid_fields(), ["client_assertion"]);
        let answer = app.post(endpoint).basic_auth("orders", Some(secret)).form(&form[..3]).answer().await;
        assert_eq!(answer.invalid_fields(), ["client_assertion"]);
    }
    // The id of the form has to be that of the assertion.
    assert_refused(&with(&[("client_id", "other")]).answer().await);
    with(&[("client_id", "orders")]).answer().await.ok(200);
    assert_eq!(JWT_BEARER, fields[0].1);
}

#[tokio::test]
async fn a_removed_key_ends_its_tokens() {
    let (old, new) = (ClientKey::generate("ES256", "old"), ClientKey::generate("EdDSA", "new"));
    let both = orders(&[&old, &new]);
    let app = App::setup().clients(std::slice::from_ref(&both)).start().await;
    let mut tokens = Vec::new();
    for key in [&old, &new] {
        let body = ask(&app, &key.assertion("orders", &json!({}))).await.ok(200);
        tokens.push(body["access_token"].as_str().unwrap().to_owned());
    }
    let credentials: Value = json!([both.entry["credentials"][1]]);
    app.register(&[both.with("credentials", credentials)]).await;
    app.get(path::VERIFY).bearer_auth(&tokens[0]).answer().await.problem(401);
    assert_eq!(app.get(path::VERIFY).bearer_auth(&tokens[1]).answer().await.status, 200);
    assert_refused(&ask(&app, &old.assertion("orders", &json!({}))).await);
    // The only key need not be named.
    let header = Header::new(Algorithm::EdDSA);
    ask(&app, &new.assertion_with(&header, "orders", &json!({}))).await.ok(200);
}

#[tokio::test]
async fn guesses_are_limited_by_network_and_the_client_is_not() {
    let (key, stranger) = (ClientKey::generate("ES256", "1"), ClientKey::generate("ES256", "1"));
    let client = orders(&[&key]);
    let setup = App::setup().clients(std::slice::from_ref(&client)).set("RATE_LIMIT_PER_NETWORK", "30");
    let app = limits::start(setup).await;
    let mut guesses = 0;
    let limited = loop {
        let answer = ask(&app, &stranger.assertion("orders", &json!({}))).await;
        if answer.status != 401 {
            break answer;
        }
        guesses += 1;
        assert!(guesses <= 30, "{guesses} guesses were not limited");
    };
    assert_eq!(limited.problem(429)["error"], "temporarily_unavailable");
    for _ in 0..10 {
        ask(&app, &key.assertion("orders", &json!({}))).await.ok(200);
    }
}

/// Without the database nobody knows whether an assertion was used.
#[tokio::test]
async fn without_the_database_an_assertion_is_neither_accepted_nor_refused() {
    let key = ClientKey::generate("ES256", "1");
    let client = orders(&[&key]);
    let mut app = App::setup().own_postgres().clients(std::slice::from_ref(&client)).start().await;
    ask(&app, &key.assertion("orders", &json!({}))).await.ok(200);
    app.postgres.as_mut().unwrap().stop();
    let answer = ask(&app, &key.assertion("orders", &json!({}))).await;
    assert_eq!(answer.problem(503)["error"], "temporarily_unavailable");
}
