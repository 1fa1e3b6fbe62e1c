//! The identity of a Redis instance and of its data.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::redis::Redis;
use latchkey_tests::wait;

async fn wait_for_mode(app: &App, mode: &str) {
    for server in &app.servers {
        server.wait_for_revocation_mode(mode).await;
    }
}

async fn marker(app: &App) -> String {
    app.database.text("SELECT coalesce(redis_epoch, $1) FROM revocation_state", "none").await
}

#[tokio::test]
async fn a_redis_with_the_data_of_another_instance_is_filled_before_it_is_trusted() {
    let app = App::setup().replicas(2).start().await;
    let (_, out) = app.new_session("out").await;
    let (_, open) = app.new_session("open").await;
    wait_for_mode(&app, "redis").await;

    // A failover: the other instance has all data, the marker included, except the revocation that follows.
    let other = Redis::start();
    other.follow(&app.redis).await;
    other.promote().await;
    app.log_out(&out).await.ok(200);
    app.database
        .execute_for("UPDATE revocations SET revoked_at = now() - interval '1 hour', transaction_id = 3 WHERE $1 <> ''", "all")
        .await;

    // A failover back: the same process as before, with the data of the other instance.
    app.redis.follow(&other).await;
    app.redis.promote().await;

    let replication_id = app.redis.replication_id().await;
    for replica in 0..2 {
        wait::until("Redis to be filled again", || async {
            let marker = marker(&app).await;
            let mode = app.servers[replica].status().await["revocation"]["mode"].clone();
            wait::check(marker.contains(&replication_id) && mode == "redis", (marker, mode))
        })
        .await;
        app.me_at(replica, &out.access).await.problem(401);
        app.me_at(replica, &open.access).await.ok(200);
    }
}

#[tokio::test]
async fn a_redis_that_became_a_replica_is_not_trusted() {
    let app = App::setup().replicas(2).start().await;
    let (_, out) = app.new_session("out").await;
    wait_for_mode(&app, "redis").await;
    let other = Redis::start();
    other.follow(&app.redis).await;
    other.promote().await;

    app.redis.follow(&other).await;
    wait_for_mode(&app, "postgres").await;
    app.log_out(&out).await.ok(200);
    for replica in 0..2 {
        app.me_at(replica, &out.access).await.problem(401);
    }
    app.redis.promote().await;
    wait_for_mode(&app, "redis").await;
    for replica in 0..2 {
        app.me_at(replica, &out.access).await.problem(401);
    }
}

#[tokio::test]
async fn a_redis_that_has_evicted_revocations_is_filled_again() {
    let app = App::setup().replicas(2).start().await;
    let (_, out) = app.new_session("out").await;
    wait_for_mode(&app, "redis").await;
    app.log_out(&out).await.ok(200);
    let before = marker(&app).await;
    app.database
        .execute_for(
            "UPDATE revocations SET revoked_at = now() - interval '1 hour', transaction_id = 3 WHERE $1 <> ''",
            "all",
        )
        .await;

    let keys = app.redis.evict_expiring_keys().await;
    assert!(keys.iter().all(|key| !key.contains("revoked")), "the revocation was evicted: {keys:?}");
    assert!(keys.iter().any(|key| key.ends_with(":epoch")), "the marker was not: {keys:?}");

    for replica in 0..2 {
        wait::until("Redis to be filled again", || async {
            let mode = app.servers[replica].status().await["revocation"]["mode"].clone();
            let now = marker(&app).await;
            wait::check(now != "none" && now != before && mode == "redis", (now, mode))
        })
        .await;
        app.me_at(replica, &out.access).await.problem(401);
    }
}

#[tokio::test]
async fn two_services_can_share_a_redis_database() {
    let one = App::setup().replicas(2).start().await;
    let other = App::setup().replicas(2).set("REDIS_URL", &one.redis.url()).start().await;
    // Both trust it permanently: neither fills it again because of the other.
    wait_for_mode(&one, "redis").await;
    wait_for_mode(&other, "redis").await;
    let markers = (marker(&one).await, marker(&other).await);
    let mut sessions = Vec::new();
    for app in [&one, &other] {
        let (_, out) = app.new_session("out").await;
        let (_, open) = app.new_session("open").await;
        app.log_out(&out).await.ok(200);
        sessions.push((app, out, open));
    }
    for (app, out, open) in &sessions {
        for replica in 0..2 {
            app.me_at(replica, &out.access).await.problem(401);
            app.me_at(replica, &open.access).await.ok(200);
        }
    }
    // Each service has its own rate limits.
    for app in [&one, &other] {
        app.post(path::LOGIN)
            .form(&[("username", "nobody"), ("password", "wrong password")])
            .answer()
            .await
            .problem(401);
    }
    assert_eq!((marker(&one).await, marker(&other).await), markers);

    let mut prefixes: Vec<_> =
        one.redis.keys().await.iter().filter_map(|key| Some(key.split_once("}:")?.0.to_owned())).collect();
    let all = prefixes.len();
    assert_eq!(all, one.redis.keys().await.len(), "a key without a prefix: {:?}", one.redis.keys().await);
    prefixes.sort();
    prefixes.dedup();
    assert_eq!(prefixes.len(), 2, "{prefixes:?}");
}
