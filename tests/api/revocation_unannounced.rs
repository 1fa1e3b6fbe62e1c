//! A committed revocation takes effect even if the replica that committed it ended before it announced it to Redis,
//! and after any outage of Redis.

use latchkey_tests::app::{App, Session};
use latchkey_tests::forged_tokens;
use latchkey_tests::wait;
use sqlx::Connection as _;

/// Ends a session like a replica that ends after the commit.
const END: &str = "
    WITH ended AS (
        UPDATE sessions SET ended_at = now() WHERE id = $1::uuid RETURNING id, access_tokens_expire_at)
    INSERT INTO revocations (session_id, expires_at) SELECT id, access_tokens_expire_at FROM ended";
/// The same ten minutes ago.
const END_LONG_AGO: &str = "
    WITH ended AS (
        UPDATE sessions SET ended_at = now() - interval '10 minutes' WHERE id = $1::uuid
        RETURNING id, access_tokens_expire_at)
    INSERT INTO revocations (session_id, revoked_at, expires_at)
    SELECT id, now() - interval '10 minutes', access_tokens_expire_at FROM ended";

async fn wait_for_mode(app: &App, mode: &str) {
    for server in &app.servers {
        server.wait_for_revocation_mode(mode).await;
    }
}

fn id_of(session: &Session) -> String {
    forged_tokens::claim(&session.access, "sid").as_str().unwrap().to_owned()
}

async fn wait_until_refused(app: &App, session: &Session) {
    for replica in 0..app.servers.len() {
        wait::until_equal("the status of /me", 401, || async {
            app.me_at(replica, &session.access).await.status
        })
        .await;
    }
}

#[tokio::test]
async fn a_revocation_while_redis_hangs_takes_effect_when_it_responds_again() {
    let app = App::setup().replicas(2).start().await;
    let (_, before) = app.new_session("before").await;
    let (_, ended) = app.new_session("ended").await;
    let (_, open) = app.new_session("open").await;
    wait_for_mode(&app, "redis").await;
    // The first sweep after a start covers all revocations, and is not under test.
    app.database.execute_for(END, &id_of(&before)).await;
    wait_until_refused(&app, &before).await;

    app.redis.pause();
    wait_for_mode(&app, "postgres").await;
    app.database.execute_for(END_LONG_AGO, &id_of(&ended)).await;
    for replica in 0..2 {
        app.me_at(replica, &ended.access).await.problem(401);
    }
    app.redis.resume();

    // From the first response of Redis on, every request is refused.
    for replica in 0..2 {
        wait::until_equal("the revocation mode", "redis", || async {
            app.me_at(replica, &ended.access).await.problem(401);
            app.servers[replica].status().await["revocation"]["mode"].clone()
        })
        .await;
        app.me_at(replica, &ended.access).await.problem(401);
        app.me_at(replica, &open.access).await.ok(200);
    }
}

#[tokio::test]
async fn an_unannounced_revocation_takes_effect_with_any_timestamp() {
    let app = App::setup().replicas(2).start().await;
    let (_, first) = app.new_session("first").await;
    let (_, second) = app.new_session("second").await;
    wait_for_mode(&app, "redis").await;
    app.database.execute_for(END, &id_of(&first)).await;
    wait_until_refused(&app, &first).await;
    app.database.execute_for(END_LONG_AGO, &id_of(&second)).await;
    wait_until_refused(&app, &second).await;
}

#[tokio::test]
async fn a_revocation_of_a_long_transaction_takes_effect() {
    let app = App::setup().replicas(2).start().await;
    let (_, slow) = app.new_session("slow").await;
    wait_for_mode(&app, "redis").await;
    let mut connection = app.database.connect().await;
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query(END).bind(id_of(&slow)).execute(&mut *transaction).await.unwrap();
    for name in ["quick", "quicker"] {
        // When this one is refused, a sweep has passed the transaction that is still open.
        let (_, quick) = app.new_session(name).await;
        app.database.execute_for(END, &id_of(&quick)).await;
        wait_until_refused(&app, &quick).await;
    }
    app.me_at(1, &slow.access).await.ok(200);
    transaction.commit().await.unwrap();
    wait_until_refused(&app, &slow).await;
}

#[tokio::test]
async fn a_replica_that_cannot_sweep_does_not_trust_redis() {
    let app = App::setup().replicas(2).start().await;
    wait_for_mode(&app, "redis").await;
    let mut connection = app.database.connect().await;
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("LOCK TABLE revocations IN ACCESS EXCLUSIVE MODE").execute(&mut *transaction).await.unwrap();
    wait_for_mode(&app, "postgres").await;
    transaction.rollback().await.unwrap();
    wait_for_mode(&app, "redis").await;
}

#[tokio::test]
async fn a_refusal_of_an_ended_session_announces_its_end() {
    let app = App::setup().replicas(2).start().await;
    wait_for_mode(&app, "redis").await;
    for attempt in 0..5 {
        let (_, ended) = app.new_session(&format!("ended{attempt}")).await;
        // As if the session was ended because its refresh token was reused, and the response was lost with the replica.
        app.database.execute_for(END, &id_of(&ended)).await;
        app.refresh_at(0, &ended).await.problem(401);
        app.me_at(1, &ended.access).await.problem(401);
    }
}
