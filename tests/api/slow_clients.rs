//! Clients that hold connections without completing a request: idle ones, slow heads, large heads, held-back bodies.
//! They keep no other client out, and they cost a bounded amount of memory.

use std::process::Command;
use std::time::Duration;

use futures::future::join_all;
use latchkey_tests::app::{App, SUPERUSER, path, superuser_password};
use latchkey_tests::process::run_ok;
use latchkey_tests::wait;
use latchkey_tests::wire::{self, Wire};

/// The deadline of a request that is not kept out. The server closes unfinished requests after ten seconds in any case.
const IN_TIME: Duration = Duration::from_secs(8);
/// How long a connection is observed that the server closes after ten seconds.
const PATIENCE: Duration = Duration::from_secs(30);
const CLOSED: &str = "latchkey_http_connections_closed_total";
/// What the operator's limits leave to all connections together.
const MEMORY: u64 = 16 << 20;

async fn connect_many(app: &App, number: usize) -> Vec<Wire> {
    join_all((0..number).map(|_| Wire::connect(app.server().authority()))).await
}

async fn log_in(app: &App) {
    let password = superuser_password();
    let login = app.post_login(SUPERUSER, &password);
    tokio::time::timeout(IN_TIME, login).await.expect("a response in time").ok(200);
}

#[tokio::test]
async fn idle_connections_keep_no_client_out() {
    let app = App::setup().timed().set("MAX_CONNECTIONS", "50").start().await;
    let _idle = connect_many(&app, 400).await;

    log_in(&app).await;

    let server = app.server();
    let open = server.metric("latchkey_http_connections", &[r#"state="open""#]).await;
    assert!((1.0..=50.0).contains(&open), "{open} connections are open");
    assert!((server.metric("latchkey_http_connections", &[r#"state="limit""#]).await - 50.0).abs() < 0.5);
    // The login may have used a connection that was open before, ahead of those that wait to be accepted.
    wait::until("the surplus connections to be closed", || async {
        let displaced = server.metric(CLOSED, &[r#"reason="displaced""#]).await;
        wait::check(displaced >= 350.0, displaced)
    })
    .await;
}

#[tokio::test]
async fn idle_connections_to_the_management_port_keep_no_probe_out() {
    let app = App::setup().timed().start().await;
    let authority = app.server().management.trim_start_matches("http://").to_owned();
    let mut idle = join_all((0..200).map(|_| Wire::connect(&authority))).await;
    let readiness = tokio::time::timeout(IN_TIME, app.server().readiness());
    assert_eq!(readiness.await.expect("a response in time").status, 200);
    assert_eq!(idle.remove(0).answer().await, "", "the oldest connection is closed");
}

#[tokio::test]
async fn held_back_bodies_keep_no_client_out() {
    let app = App::setup().timed().set("MAX_CONNECTIONS", "10").start().await;
    let mut held_back = connect_many(&app, 40).await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 30\r\n\r\nuser",
        path::LOGIN
    );
    for connection in &mut held_back {
        connection.send(head.as_bytes()).await;
    }
    log_in(&app).await;
}

#[tokio::test]
async fn an_unfinished_head_is_given_up_and_an_idle_connection_is_not() {
    let app = App::setup().timed().start().await;
    let authority = app.server().authority();
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path::JWKS);
    let mut idle = Wire::connect(authority).await;
    idle.send(request.as_bytes()).await;
    let slow = async {
        let mut wire = Wire::connect(authority).await;
        wire.send(request.trim_end().as_bytes()).await;
        wire.send(b"\r\nX-Slow: ").await;
        wire.trickle(b'a', Duration::from_millis(300), PATIENCE).await
    };
    let management = app.server().management.trim_start_matches("http://");
    let slow_on_management = async {
        let mut wire = Wire::connect(management).await;
        wire.send(b"GET /readyz HTTP/1.1\r\nX-Slow: ").await;
        wire.trickle(b'a', Duration::from_millis(300), PATIENCE).await
    };

    let (slow, slow_on_management) = tokio::join!(slow, slow_on_management);

    assert_eq!(
        (slow.as_str(), slow_on_management.as_str()),
        ("", ""),
        "the server closes without a response"
    );
    wait::until("one connection to be counted", || async {
        let closed = app.server().metric(CLOSED, &[r#"reason="head_deadline""#]).await;
        wait::check((closed - 1.0).abs() < 0.5, closed)
    })
    .await;
    idle.send(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let responses = idle.answer().await;
    assert_eq!(responses.matches("HTTP/1.1 200").count(), 2, "{responses}");
}

#[tokio::test]
async fn a_head_has_at_most_32_kib() {
    let app = App::setup().timed().start().await;
    let head = |bytes: usize| {
        let value = "a".repeat(bytes);
        format!("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Large: {value}\r\n\r\n", path::JWKS)
    };
    let authority = app.server().authority();
    assert_eq!(wire::status(&wire::exchange(authority, head(31_000).as_bytes()).await), Some(200));
    assert_eq!(wire::status(&wire::exchange(authority, head(40_000).as_bytes()).await), Some(431));
}

#[tokio::test]
async fn large_heads_cost_a_bounded_amount_of_memory() {
    let app = App::setup().timed().start().await;
    log_in(&app).await;
    let before = app.server().memory();
    let mut connections = connect_many(&app, 150).await;
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\nX-Large: {}", path::JWKS, "a".repeat(300_000));
    for connection in &mut connections {
        connection.send(head.as_bytes()).await;
    }
    for connection in connections {
        let response = connection.answer().await;
        assert!([None, Some(431)].contains(&wire::status(&response)), "{response}");
    }
    let growth = app.server().memory().peak.saturating_sub(before.resident);
    assert!(growth < MEMORY, "150 connections took {} KiB", growth / 1024);
}

#[tokio::test]
async fn http2_is_served_without_tls() {
    let app = App::setup().timed().start().await;
    let url = format!("{}{}", app.server().api, path::JWKS);
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--http2-prior-knowledge",
        "--max-time",
        "10",
        "--write-out",
        "%{http_version}",
        &url,
    ]);
    let response = run_ok(&mut curl);
    assert!(response.ends_with("}2"), "{response}");
}
