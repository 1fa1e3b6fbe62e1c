//! A replica that reaches only one of the two stores, or neither, never accepts a token that may be revoked.

use std::time::{Duration, Instant};

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, SUPERUSER, Setup, path, superuser_password};
use latchkey_tests::link::Link;
use latchkey_tests::server::Server;
use latchkey_tests::wait;

/// The deadline of a response while a dependency is unavailable.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn without_both_stores_requests_get_503_until_one_is_back() {
    let mut app = Setup::default().own_postgres().start().await;
    let (_, session) = app.new_session("stranded").await;
    let (_, out) = app.new_session("out").await;
    app.log_out(&out).await.ok(200);

    app.redis.stop();
    app.postgres.as_mut().unwrap().stop();

    let begun = Instant::now();
    let form = [("username", SUPERUSER), ("password", "any")];
    let password = superuser_password();
    let answers = tokio::join!(
        app.me(&session.access),
        app.me(&out.access),
        app.refresh(&session),
        app.log_out(&session),
        app.post_login(SUPERUSER, &password),
        app.post(path::TOKEN).form(&form).answer(),
    );
    for answer in [answers.0, answers.1, answers.2, answers.3, answers.4, answers.5] {
        answer.problem(503);
    }
    assert!(begun.elapsed() < SOON, "the answers took {:?}", begun.elapsed());
    // Requests that need no store succeed.
    assert_eq!(app.get(path::JWKS).answer().await.status, 200);
    assert_eq!(app.server().management("/livez").await.status, 200);
    wait::until_equal("the status of /readyz", 503, || async { app.server().readiness().await.status }).await;

    app.postgres.as_mut().unwrap().start_again();
    app.server().wait_until_ready().await;
    app.me(&session.access).await.ok(200);
    app.me(&out.access).await.problem(401);
    app.refresh(&session).await.ok(200);
}

#[tokio::test]
async fn without_postgres_requests_that_need_it_get_503() {
    let mut app = Setup::default().own_postgres().start().await;
    let (_, session) = app.new_session("half").await;
    let (_, out) = app.new_session("out").await;
    app.log_out(&out).await.ok(200);

    app.postgres.as_mut().unwrap().stop();

    let password = superuser_password();
    let (login, refresh, logout, refused) = tokio::join!(
        app.post_login(SUPERUSER, &password),
        app.refresh(&session),
        app.log_out(&session),
        app.me(&out.access),
    );
    // A logout that could not be committed does not succeed.
    for answer in [login, refresh, logout] {
        answer.problem(503);
    }
    assert!([401, 503].contains(&refused.status), "{refused:?}");
    refused.problem(refused.status);

    app.postgres.as_mut().unwrap().start_again();
    app.server().wait_until_ready().await;
    app.me(&session.access).await.ok(200);
    app.log_out(&session).await.ok(200);
    app.me(&session.access).await.problem(401);
}

#[tokio::test]
async fn the_server_recovers_after_a_restart_of_postgres() {
    let mut app = Setup::default().own_postgres().replicas(2).start().await;
    let (_, session) = app.new_session("patient").await;
    for _ in 0..2 {
        app.postgres.as_mut().unwrap().stop();
        app.postgres.as_mut().unwrap().start_again();
        for server in &app.servers {
            server.wait_until_ready().await;
        }
        for replica in 0..2 {
            app.me_at(replica, &session.access).await.ok(200);
            app.log_in_as(SUPERUSER, &superuser_password()).await;
        }
    }
}

/// Two replicas, the first of which connects to Redis through a proxy that can be cut.
async fn linked() -> (App, Link) {
    let mut app = App::start().await;
    let link = Link::to(app.redis.port());
    let direct = app.variables.clone();
    let through_link = app.redis.url_through(link.port());
    app.variables.insert("REDIS_URL".to_owned(), through_link);
    app.servers[0] = Server::start(&app.variables).await;
    app.servers.push(Server::start(&direct).await);
    for server in &app.servers {
        server.wait_until_ready().await;
    }
    (app, link)
}

#[tokio::test]
async fn a_logout_at_a_replica_without_redis_takes_effect_on_one_with_redis() {
    let (app, link) = linked().await;
    let (_, session) = app.new_session("split").await;
    app.me_at(1, &session.access).await.ok(200);

    link.cut();
    let logout = app.log_out_at(0, &session).await;

    // The logout either fails, or takes effect on every replica.
    if logout.status == 200 {
        for replica in [1, 0] {
            app.me_at(replica, &session.access).await.problem(401);
            app.refresh_at(replica, &session).await.problem(401);
        }
    } else {
        logout.problem(503);
    }
    link.mend();
    app.log_out_at(1, &session).await;
    for replica in 0..2 {
        app.me_at(replica, &session.access).await.problem(401);
    }
}

#[tokio::test]
async fn a_logout_takes_effect_on_a_replica_without_redis() {
    let (app, link) = linked().await;
    let (_, session) = app.new_session("split").await;
    app.me_at(0, &session.access).await.ok(200);

    link.cut();
    app.log_out_at(1, &session).await.ok(200);

    app.me_at(0, &session.access).await.problem(401);
    app.refresh_at(0, &session).await.problem(401);
    link.mend();
    app.me_at(0, &session.access).await.problem(401);
}

#[tokio::test]
async fn revocations_are_read_from_postgres_while_redis_hangs() {
    let app = App::setup().replicas(2).start().await;
    let (_, session) = app.new_session("hanging").await;
    let (_, out) = app.new_session("out").await;

    app.redis.pause();
    let begun = Instant::now();
    let me = app.me(&session.access).await;
    me.ok(200);
    app.log_out(&out).await.ok(200);
    for replica in 0..2 {
        app.me_at(replica, &out.access).await.problem(401);
    }
    let took = begun.elapsed();
    app.redis.resume();

    assert!(took < 4 * SOON, "four answers took {took:?}");
    for replica in 0..2 {
        app.me_at(replica, &out.access).await.problem(401);
        app.me_at(replica, &session.access).await.ok(200);
    }
}
