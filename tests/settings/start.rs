//! A dependency that is unavailable at the start: the server retries, is not ready, and reports the reason.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{SUPERUSER, path, superuser_password};
use latchkey_tests::postgres::Postgres;
use latchkey_tests::redis::Redis;
use latchkey_tests::server::{Server, Variables, run_command};
use latchkey_tests::wait;
use serde_json::Value;

use crate::parts::Parts;

async fn wait_until_reported(server: &Server, dependency: &str) -> (u16, Value) {
    wait::until(&format!("/readyz to report {dependency}"), || async {
        let answer = server.readiness().await;
        let body: Value = answer.json();
        let state = &body["dependencies"][dependency];
        let explained = state["message"].as_str().is_some_and(|text| !text.is_empty());
        if state["ready"] == false && explained { Ok((answer.status, body)) } else { Err(body) }
    })
    .await
}

#[tokio::test]
async fn the_server_waits_for_postgres() {
    let mut postgres = Postgres::start();
    let parts = Parts::on(postgres.create_database().await);
    postgres.stop();

    let server = Server::start(&parts.variables).await;
    assert_eq!(server.management("/livez").await.status, 200);
    let (status, body) = wait_until_reported(&server, "database").await;
    assert_eq!((status, &body["ready"]), (503, &false.into()), "{body}");
    // A request before that is refused with 503.
    let form = [("username", SUPERUSER.to_owned()), ("password", superuser_password())];
    server.post(path::LOGIN).form(&form).answer().await.problem(503);

    postgres.start_again();
    server.wait_until_ready().await;
    server.post(path::LOGIN).form(&form).answer().await.ok(200);
}

#[tokio::test]
async fn the_server_waits_for_redis() {
    let mut parts = Parts::start().await;
    parts.redis.stop();

    let server = Server::start(&parts.variables).await;
    let (status, body) = wait_until_reported(&server, "redis").await;
    assert_eq!((status, &body["ready"]), (503, &false.into()), "{body}");

    parts.redis.start_again();
    server.wait_until_ready().await;
    server.wait_for_revocation_mode("redis").await;
}

#[tokio::test]
async fn the_server_waits_for_a_corrected_password() {
    // A Secret that is corrected later must not need a new pod.
    let mut parts = Parts::start().await;
    let wrong = parts.redis.url().replace("NeverLogged", "NeverLoggedWrong");
    parts.variables.insert("REDIS_URL".to_owned(), wrong);
    let wrong = parts.database.url().replace("NeverLogged", "NeverLoggedWrong");
    parts.variables.insert("DATABASE_URL".to_owned(), wrong);

    let server = Server::start(&parts.variables).await;
    for dependency in ["database", "redis"] {
        wait_until_reported(&server, dependency).await;
    }
}

#[tokio::test]
async fn a_redis_that_may_evict_keys_is_reported() {
    let mut parts = Parts::start().await;
    parts.redis = Redis::with_eviction("allkeys-lru");
    parts.variables.insert("REDIS_URL".to_owned(), parts.redis.url());

    let server = Server::start(&parts.variables).await;
    let (status, body) = wait_until_reported(&server, "redis").await;

    assert_eq!(status, 503, "{body}");
    let output_text = body["dependencies"]["redis"]["message"].as_str().unwrap_or_default();
    assert!(
        output_text.contains("maxmemory-policy") && output_text.contains("noeviction"),
        "the message has no remedy: {output_text}"
    );
    assert_eq!(server.status().await["revocation"]["mode"], "postgres");

    parts.redis.set_eviction("noeviction").await;
    server.wait_until_ready().await;
}

#[tokio::test]
async fn a_port_in_use_is_reported() {
    let parts = Parts::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for name in ["LISTEN_ADDR", "MANAGEMENT_ADDR"] {
        let mut variables: Variables = parts.variables.clone();
        variables.insert(name.to_owned(), taken.local_addr().unwrap().to_string());
        let output = run_command(&["serve"], &variables);
        let output_text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code().is_some_and(|code| (1..=2).contains(&code)),
            "{:?}: {output_text}",
            output.status
        );
        assert!(output_text.contains(name), "{output_text}");
    }
}

#[tokio::test]
async fn every_address_of_both_families_is_served_on_one_port() {
    let mut parts = Parts::start().await;
    for name in ["LISTEN_ADDR", "MANAGEMENT_ADDR"] {
        parts.variables.insert(name.to_owned(), "[::]:0".to_owned());
    }
    let server = Server::start(&parts.variables).await;
    server.wait_until_ready().await;
    for host in ["127.0.0.1", "[::1]"] {
        let at = |url: &str| url.replace("[::]", host);
        let client = reqwest::Client::new();
        assert_eq!(client.get(at(&server.management) + "/readyz").answer().await.status, 200);
        let form = [("username", "nobody"), ("password", "a wrong password")];
        let login = client.post(at(&server.api) + path::LOGIN).form(&form);
        login.answer().await.problem(401);
        // IPv4 addresses are those that limits and trusted proxies are written with.
        server.wait_for_log(&format!(r#""address":"{}""#, host.trim_matches(['[', ']']))).await;
    }
}

#[tokio::test]
async fn an_unavailable_trace_collector_delays_nothing() {
    let mut parts = Parts::start().await;
    parts.variables.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), "http://127.0.0.1:1".to_owned());

    let mut server = Server::start(&parts.variables).await;
    server.wait_until_ready().await;
    let form = [("username", SUPERUSER.to_owned()), ("password", superuser_password())];
    server.post(path::LOGIN).form(&form).answer().await.ok(200);

    let begun = std::time::Instant::now();
    server.stop().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(25), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_weak_password_of_the_first_superuser_is_reported_and_the_server_is_not_ready() {
    let mut parts = Parts::start().await;
    parts.variables.insert("PASSWORD_MIN_LENGTH".to_owned(), "64".to_owned());
    let server = Server::start(&parts.variables).await;
    let output_text = server.wait_for_log("the first superuser cannot be made").await;
    assert!(
        output_text.contains("FIRST_SUPERUSER_PASSWORD must have at least 64 characters"),
        "{output_text}"
    );
    assert_eq!(server.readiness().await.status, 503);
    assert_eq!(parts.database.count("SELECT count(*) FROM users WHERE username = $1", SUPERUSER).await, 0);
}
