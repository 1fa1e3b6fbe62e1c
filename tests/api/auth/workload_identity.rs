//! Clients that authenticate with the projected token of their Kubernetes ServiceAccount, which a real API server issues and
//! reviews.

use std::time::{Duration, Instant};

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, ISSUER, Setup, path};
use latchkey_tests::client_keys::assertion_form;
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::forged_tokens::{Forged, claim};
use latchkey_tests::link::Link;
use latchkey_tests::wait;
use latchkey_tests::workloads::Workloads;
use serde_json::{Value, json};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const GRANT: (&str, &str) = ("grant_type", "client_credentials");
/// Within this time a deleted pod has no access any more.
const LATEST_END: Duration = Duration::from_secs(10);

async fn ask(app: &App, token: &str, others: &[(&str, &str)]) -> Answer {
    let form = [&[GRANT][..], &assertion_form(token), others].concat();
    app.post(path::TOKEN).form(&form).answer().await
}

async fn verify(app: &App, replica: usize, token: &str) -> u16 {
    app.servers[replica].get(path::VERIFY).bearer_auth(token).answer().await.status
}

async fn access_token(app: &App, token: &str) -> String {
    ask(app, token, &[]).await.ok(200)["access_token"].as_str().unwrap().to_owned()
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!(answer.problem(401)["error"], "invalid_client", "{answer:?}");
}

async fn start(workloads: &Workloads, clients: &[TestClient], replicas: usize) -> App {
    let setup = App::setup().clients(clients).replicas(replicas).set("RATE_LIMITS_ENABLED", "false");
    workloads.setup(setup, workloads.port()).start().await
}

/// A namespace with the service account `orders` and its pod `orders-1`, and the client of it.
async fn orders() -> (Workloads, TestClient) {
    let workloads = Workloads::start().await;
    workloads.create_service_account("orders").await;
    workloads.create_pod("orders-1", "orders").await;
    let client = workloads.client("orders", &["orders"]);
    (workloads, client)
}

#[tokio::test]
async fn a_pod_gets_tokens_without_a_secret_until_it_is_deleted() {
    let (workloads, client) = orders().await;
    workloads.create_pod("orders-2", "orders").await;
    let app = start(&workloads, std::slice::from_ref(&client), 2).await;
    let one = workloads.pod_token("orders", "orders-1");
    let two = workloads.pod_token("orders", "orders-2");
    for others in [&[][..], &[("client_id", "orders")]] {
        let body = ask(&app, &one, others).await.ok(200);
        let token = body["access_token"].as_str().unwrap();
        assert_eq!(claim(token, "sub"), "orders");
        assert_eq!(claim(token, "cred"), client.entry["credentials"][0]["id"]);
        assert!(
            !token.contains(&one)
                && !Value::Object(Forged::from_token(token).claims).to_string().contains(&one)
        );
    }
    let access = [access_token(&app, &one).await, access_token(&app, &two).await];
    for token in &access {
        for replica in [0, 1] {
            assert_eq!(verify(&app, replica, token).await, 200);
        }
    }
    let introspect = |assertion: &str, token: &str| {
        let form: Vec<(&str, &str)> = assertion_form(assertion).into_iter().collect();
        let form: Vec<_> =
            form.into_iter().chain([("token", token)]).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        let request = app.post(path::INTROSPECT).form(&form);
        async { request.answer().await.ok(200)["active"].clone() }
    };
    assert_eq!(introspect(&two, &access[0]).await, true);

    workloads.delete("pod", "orders-1");
    let deleted = Instant::now();
    // It is used all the time: an answer that is kept is not kept for longer because of that.
    wait::until("both replicas to refuse the token of the deleted pod", async || {
        let statuses = [verify(&app, 0, &access[0]).await, verify(&app, 1, &access[0]).await];
        wait::check(statuses == [401, 401], statuses)
    })
    .await;
    assert!(deleted.elapsed() <= LATEST_END, "{:?}", deleted.elapsed());
    assert_refused(&ask(&app, &one, &[]).await);
    assert_eq!(introspect(&two, &access[0]).await, false);
    // A new pod of the same name is another one.
    workloads.create_pod("orders-1", "orders").await;
    assert_refused(&ask(&app, &one, &[]).await);
    assert_eq!(verify(&app, 0, &access[1]).await, 200);

    workloads.delete("serviceaccount", "orders");
    let deleted = Instant::now();
    wait::until_equal("the status of the token of the deleted account", 401, async || {
        verify(&app, 1, &access[1]).await
    })
    .await;
    assert!(deleted.elapsed() <= LATEST_END, "{:?}", deleted.elapsed());
}

#[tokio::test]
async fn a_token_that_a_pod_exchanged_ends_with_the_pod() {
    let (workloads, client) = orders().await;
    let client = client
        .with("grant_types", json!(["client_credentials", EXCHANGE]))
        .with("audiences", json!([ISSUER]))
        .with("scopes", json!(["stock:read"]));
    let target = TestClient::new(ISSUER, &[]).with("token_exchange_from", json!(["orders"]));
    let app = start(&workloads, &[client, target], 2).await;
    let (_, session) = app.new_session("anna").await;
    let exchange = async |assertion: &str| {
        let form = [
            ("grant_type", EXCHANGE),
            ("subject_token", &*session.access),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", ISSUER),
        ];
        let form = [&form[..], &assertion_form(assertion)].concat();
        app.post(path::TOKEN).form(&form).answer().await
    };
    let pod = workloads.pod_token("orders", "orders-1");
    let token = exchange(&pod).await.ok(200)["access_token"].as_str().unwrap().to_owned();
    for replica in [0, 1] {
        assert_eq!(verify(&app, replica, &token).await, 200);
    }
    workloads.delete("pod", "orders-1");
    let deleted = Instant::now();
    wait::until_equal("the status of the exchanged token of the deleted pod", 401, async || {
        verify(&app, 1, &token).await
    })
    .await;
    assert!(deleted.elapsed() <= LATEST_END, "{:?}", deleted.elapsed());
    assert_refused(&exchange(&pod).await);
    app.me(&session.access).await.ok(200);
}

#[tokio::test]
async fn other_tokens_of_the_api_server_are_refused() {
    let (workloads, client) = orders().await;
    for account in ["default", "stranger"] {
        workloads.create_service_account(account).await;
        workloads.create_pod(&format!("{account}-1"), account).await;
    }
    let twin = workloads.client("twin", &["orders"]);
    let app = start(&workloads, std::slice::from_ref(&client), 1).await;
    let good = workloads.pod_token("orders", "orders-1");
    let audience = format!("--audience={ISSUER}");
    let pod_token = |options: &[&str]| workloads.pod_token_with("orders", "orders-1", options);
    for (what, token) in [
        ("of another audience", pod_token(&["--duration=1h"])),
        ("of the audience of another issuer", pod_token(&["--audience=https://other.example.test"])),
        ("that is not bound", workloads.token_of("orders", &[&audience, "--duration=1h"])),
        ("that lives for two hours", pod_token(&[&audience, "--duration=2h"])),
        ("of the account default", workloads.pod_token("default", "default-1")),
        ("of an account without a client", workloads.pod_token("stranger", "stranger-1")),
        ("that was changed", format!("{}AAAA", &good[..good.len() - 4])),
    ] {
        let answer = ask(&app, &token, &[]).await;
        assert_eq!(answer.status, 401, "a token {what}: {answer:?}");
        assert_refused(&answer);
    }
    assert_refused(&ask(&app, &good, &[("client_id", "other")]).await);
    ask(&app, &good, &[]).await.ok(200);
    // Of two clients with one account, the request names one.
    app.register(&[client, twin]).await;
    assert_refused(&ask(&app, &good, &[]).await);
    for id in ["orders", "twin"] {
        let body = ask(&app, &good, &[("client_id", id)]).await.ok(200);
        assert_eq!(claim(body["access_token"].as_str().unwrap(), "sub"), id);
    }
    let denied = "SELECT count(*) FROM audit_events WHERE kind = 'client_refused' AND detail->>'reason' = $1";
    assert_eq!(app.database.count(denied, "denied").await, 1);
    assert_eq!(app.database.count(denied, "default").await, 1);
}

#[tokio::test]
async fn what_the_api_server_does_not_answer_is_unknown() {
    let (workloads, client) = orders().await;
    let link = Link::to(workloads.port());
    let setup = App::setup().clients(std::slice::from_ref(&client));
    let app = workloads.setup(setup, link.port()).start().await;
    let token = workloads.pod_token("orders", "orders-1");
    let access = access_token(&app, &token).await;
    assert_eq!(verify(&app, 0, &access).await, 200);
    let reviews = async || app.server().status().await["dependencies"]["token_reviews"].clone();
    assert_eq!(reviews().await["ready"], true);

    link.cut();
    wait::until_equal("the status of the token", 503, async || verify(&app, 0, &access).await).await;
    let answer = ask(&app, &token, &[]).await;
    assert_eq!(answer.problem(503)["error"], "temporarily_unavailable");
    assert_eq!(reviews().await["ready"], false);
    // It has no use for people.
    assert_eq!(app.server().readiness().await.status, 200);
    link.mend();
    wait::until_equal("the status of the token", 200, async || verify(&app, 0, &access).await).await;

    workloads.forbid();
    wait::until_equal("the status of the token", 503, async || verify(&app, 0, &access).await).await;
    assert_eq!(reviews().await["reason"], "forbidden");
    workloads.permit().await;
    wait::until_equal("the status of the token", 200, async || verify(&app, 0, &access).await).await;
}

#[tokio::test]
async fn a_removed_client_and_a_disabled_setting_end_access() {
    let (workloads, client) = orders().await;
    let app = start(&workloads, std::slice::from_ref(&client), 1).await;
    let token = workloads.pod_token("orders", "orders-1");
    let access = access_token(&app, &token).await;
    let without = Setup::default().clients(std::slice::from_ref(&client)).start().await;
    assert_refused(&ask(&without, &token, &[]).await);
    // The same keys and audience, but this server cannot ask.
    assert_eq!(verify(&without, 0, &access).await, 401);
    app.register(&[]).await;
    assert_eq!(verify(&app, 0, &access).await, 401);
    assert_refused(&ask(&app, &token, &[]).await);
}
