//! SIGTERM: readiness fails first, then requests in flight finish, then the process exits successfully.

use latchkey_tests::app::{App, SUPERUSER, path, superuser_password};
use latchkey_tests::wait;
use latchkey_tests::wire::{self, Wire};

/// The two halves of a login request.
fn login_request() -> (Vec<u8>, Vec<u8>) {
    let body = format!("username={SUPERUSER}&password={}", superuser_password().replace(' ', "+"));
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        path::LOGIN,
        body.len()
    );
    let (first, second) = body.split_at(10);
    (format!("{head}{first}").into_bytes(), second.as_bytes().to_vec())
}

#[tokio::test]
async fn a_request_in_flight_is_completed() {
    let mut app = App::start().await;
    let (first, second) = login_request();
    let mut wire = Wire::connect(app.server().authority()).await;
    wire.send(&first).await;
    // The server has received the first half when a later request is answered.
    app.superuser().await;

    app.server().terminate();
    wait::until_equal("the status of /readyz", 503, || async { app.server().readiness().await.status }).await;
    wire.send(&second).await;

    let answer = wire.answer().await;
    assert_eq!(wire::status(&answer), Some(200), "{answer}");
    assert!(app.servers[0].ended().await.success());
}

#[tokio::test]
async fn no_request_is_refused_while_readiness_fails() {
    // Proxies learn of the failed readiness a moment later, and send requests until then.
    let mut app = App::start().await;
    let session = app.superuser().await.clone();
    app.server().terminate();
    wait::until_equal("the status of /readyz", 503, || async { app.server().readiness().await.status }).await;
    app.me(&session.access).await.ok(200);
    assert!(app.servers[0].ended().await.success());
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_the_shutdown() {
    let mut app = App::start().await;
    let _idle = Wire::connect(app.server().authority()).await;
    app.superuser().await;
    let begun = std::time::Instant::now();
    app.servers[0].stop().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn sigint_stops_the_server_gracefully() {
    let mut app = App::start().await;
    app.server().interrupt();
    assert!(app.servers[0].ended().await.success());
}
