//! `GET /readyz`

use insta::assert_json_snapshot;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::server::Server;
use latchkey_tests::smtp::Smtp;
use latchkey_tests::wait;
use serde_json::Value;

/// Waits until `/readyz` reports a dependency as ready or not, and returns the status and the body.
async fn wait_for(app: &App, dependency: &str, ready: bool) -> (u16, Value) {
    wait::until(&format!("{dependency}: ready = {ready}"), || async {
        let answer = app.server().readiness().await;
        let body: Value = answer.json();
        let found = body["dependencies"][dependency]["ready"] == ready;
        if found { Ok((answer.status, body)) } else { Err(body) }
    })
    .await
}

#[tokio::test]
async fn each_dependency_is_listed() {
    let app = App::start().await;
    let answer = app.server().readiness().await;
    assert_eq!(answer.status, 200);
    assert_json_snapshot!(answer.json(), { ".dependencies.*.message" => "<message>" });
    for (name, dependency) in answer.json()["dependencies"].as_object().unwrap() {
        assert!(dependency["message"].is_string(), "{name}: {dependency}");
    }
}

#[tokio::test]
async fn an_unavailable_smtp_server_is_reported_and_the_server_is_ready() {
    let mut app = App::setup().mail(Smtp::Plain).start().await;
    wait_for(&app, "mail", true).await;
    app.mail.as_mut().unwrap().stop();
    let user = app.create_user("unlucky").await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let (status, body) = wait_for(&app, "mail", false).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn without_redis_the_server_is_ready_and_reports_it() {
    let mut app = App::start().await;
    let server = &app.servers[0];
    let message = async || {
        let answer = ready_body(server).await;
        answer["dependencies"]["redis"]["message"].as_str().unwrap().to_owned()
    };
    let before = message().await;
    app.redis.stop();
    wait::until("the loss of Redis in /readyz", || async {
        let message = message().await;
        wait::check(message.contains("PostgreSQL"), message)
    })
    .await;
    app.redis.start_again();
    wait::until_equal("the message about Redis", before, message).await;
}

/// Asserts that `/readyz` succeeds, and returns its body.
async fn ready_body(server: &Server) -> Value {
    let answer = server.readiness().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn without_postgres_the_server_is_not_ready() {
    let mut app = App::setup().own_postgres().start().await;
    app.postgres.as_mut().unwrap().stop();
    let (status, body) = wait_for(&app, "database", false).await;
    assert_eq!((status, &body["ready"]), (503, &false.into()), "{body}");
    app.postgres.as_mut().unwrap().start_again();
    app.server().wait_until_ready().await;
}
