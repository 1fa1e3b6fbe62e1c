//! `GET /livez`

use latchkey_tests::app::App;

#[tokio::test]
async fn livez_succeeds_without_dependencies() {
    let mut app = App::setup().own_postgres().start().await;
    assert_eq!(app.server().management("/livez").await.status, 200);
    app.redis.stop();
    app.postgres.as_mut().unwrap().stop();
    assert_eq!(app.server().management("/livez").await.status, 200);
}

#[tokio::test]
async fn management_endpoints_are_not_on_the_api_port() {
    use latchkey_tests::answer::Answered;
    let app = App::start().await;
    for path in ["/livez", "/readyz", "/metrics", "/status"] {
        app.get(path).answer().await.problem(404);
    }
}
