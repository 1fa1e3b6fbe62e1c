//! `GET /livez`

use latchkey_tests::app::App;

#[tokio::test]
async fn is_true_while_the_process_lives_whatever_its_dependencies_do() {
    let mut app = App::setup().own_postgres().start().await;
    assert_eq!(app.server().management("/livez").await.status, 200);
    app.redis.stop();
    app.postgres.as_mut().unwrap().stop();
    assert_eq!(app.server().management("/livez").await.status, 200);
}

#[tokio::test]
async fn is_not_on_the_public_port() {
    use latchkey_tests::answer::Answered;
    let app = App::start().await;
    for path in ["/livez", "/readyz", "/metrics", "/status"] {
        app.get(path).answer().await.problem(404);
    }
}
