//! Redis as it is operated: Sentinel, Redis Cluster, client certificates.

use latchkey_tests::app::App;
use latchkey_tests::authority::Authority;
use latchkey_tests::redis::Redis;
use latchkey_tests::redis_cluster::RedisCluster;
use latchkey_tests::redis_sentinel::SentinelSetup;
use latchkey_tests::server::{Server, run_command};
use latchkey_tests::wait;

use crate::redis_faults::wait_for_mode;

async fn assert_refused_everywhere(app: &App, access: &str) {
    for replica in 0..app.servers.len() {
        app.me_at(replica, access).await.problem(401);
    }
}

#[tokio::test]
async fn a_failover_by_sentinel_brings_no_ended_session_back() {
    for sentinel_password in [false, true] {
        let mut redis = SentinelSetup::start(sentinel_password).await;
        let app = App::setup().replicas(2).set("REDIS_URL", &redis.url()).start().await;
        assert!(run_command(&["check"], &app.variables).status.success());
        wait_for_mode(&app, "redis").await;
        let (_, before) = app.new_session("before").await;
        let (_, during) = app.new_session("during").await;
        let (_, open) = app.new_session("open").await;
        app.log_out(&before).await.ok(200);

        // What the primary acknowledges now does not reach the replica.
        redis.servers[1].pause();
        let (_, lost) = app.new_session("lost").await;
        app.log_out(&lost).await.ok(200);
        redis.servers[0].stop();
        redis.servers[1].resume();
        app.log_out(&during).await.ok(200);
        for access in [&before.access, &lost.access, &during.access] {
            assert_refused_everywhere(&app, access).await;
        }
        redis.wait_for_primary(1).await;
        wait_for_mode(&app, "redis").await;
        for access in [&before.access, &lost.access, &during.access] {
            assert_refused_everywhere(&app, access).await;
        }
        app.me_at(1, &open.access).await.ok(200);
        assert!(
            redis.servers[1].keys().await.iter().any(|key| key.ends_with(":epoch")),
            "the new primary is used"
        );

        // The old primary comes back as a replica.
        redis.servers[0].start_again();
        app.log_out(&open).await.ok(200);
        assert_refused_everywhere(&app, &open.access).await;
    }
}

#[tokio::test]
async fn sentinels_that_do_not_know_the_name_are_reported() {
    let redis = SentinelSetup::start(false).await;
    let app = App::start().await;
    let mut variables = app.variables.clone();
    variables.insert("REDIS_URL".to_owned(), redis.url().replace("latchkey-primary", "another"));
    let output = run_command(&["check"], &variables);
    let said = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
    assert!(!output.status.success() && said.contains("know no primary of the name"), "{said}");
}

/// Two replicas, of which each is given another node of the cluster: the one that owns the keys, and the other one.
async fn two_replicas(cluster: &RedisCluster) -> App {
    let mut app = App::setup().set("REDIS_URL", &cluster.nodes[0].url()).start().await;
    let mut variables = app.variables.clone();
    variables.insert("REDIS_URL".to_owned(), cluster.nodes[1].url());
    let other = Server::start(&variables).await;
    other.wait_until_ready().await;
    app.servers.push(other);
    wait_for_mode(&app, "redis").await;
    app
}

#[tokio::test]
async fn a_redis_cluster_is_used_and_followed_when_the_slot_moves() {
    let cluster = RedisCluster::start().await;
    let app = two_replicas(&cluster).await;
    assert!(run_command(&["check"], &app.variables).status.success());
    let (_, before) = app.new_session("before").await;
    let (_, during) = app.new_session("during").await;
    let (_, open) = app.new_session("open").await;
    app.log_out(&before).await.ok(200);
    assert_refused_everywhere(&app, &before.access).await;

    let marker = {
        let mut keys = cluster.nodes[0].keys().await;
        keys.extend(cluster.nodes[1].keys().await);
        keys.into_iter().find(|key| key.ends_with(":epoch")).unwrap()
    };
    let owner = cluster.owner(&marker).await;
    // The marker is on one node and the revocations are on the other one.
    cluster
        .move_slot(&marker, owner, ":epoch", async {
            app.log_out(&during).await.ok(200);
            for replica in 0..2 {
                app.me_at(replica, &before.access).await.problem(401);
                app.me_at(replica, &during.access).await.problem(401);
                app.me_at(replica, &open.access).await.ok(200);
            }
        })
        .await;
    wait_for_mode(&app, "redis").await;
    for access in [&before.access, &during.access] {
        assert_refused_everywhere(&app, access).await;
    }
    wait::until("the keys on the new owner", || async {
        let keys = cluster.nodes[1 - owner].keys().await;
        wait::check(keys.contains(&marker), keys)
    })
    .await;
    app.log_out(&open).await.ok(200);
    assert_refused_everywhere(&app, &open.access).await;
    for server in &app.servers {
        let connected = server.log().iter().filter(|line| line.contains("connected to Redis")).count();
        assert!(connected < 10, "it reconnects forever: {connected}");
    }
}

#[tokio::test]
async fn a_failover_in_a_cluster_brings_no_ended_session_back() {
    let mut cluster = RedisCluster::start().await;
    let app = two_replicas(&cluster).await;
    let mut keys = cluster.nodes[0].keys().await;
    keys.extend(cluster.nodes[1].keys().await);
    let marker = keys.into_iter().find(|key| key.ends_with(":epoch")).unwrap();
    let owner = cluster.owner(&marker).await;
    let replica = cluster.add_replica(owner).await;
    let (_, before) = app.new_session("before").await;
    let (_, lost) = app.new_session("lost").await;
    let (_, during) = app.new_session("during").await;
    let (_, open) = app.new_session("open").await;
    app.log_out(&before).await.ok(200);
    // What the owner acknowledges now does not reach its replica.
    replica.pause();
    app.log_out(&lost).await.ok(200);
    cluster.nodes[owner].stop();
    replica.resume();
    app.log_out(&during).await.ok(200);
    for access in [&before.access, &lost.access, &during.access] {
        assert_refused_everywhere(&app, access).await;
    }
    // Two owners are no majority, so that an administrator has to decide.
    replica.run("CLUSTER FAILOVER TAKEOVER").await;
    for server in &app.servers {
        server.wait_for_revocation_mode("redis").await;
    }
    for access in [&before.access, &lost.access, &during.access] {
        assert_refused_everywhere(&app, access).await;
    }
    let keys = replica.keys().await;
    assert!(keys.contains(&marker), "the replica is used: {keys:?}");
    app.log_out(&open).await.ok(200);
    assert_refused_everywhere(&app, &open.access).await;
}

#[tokio::test]
async fn sentinel_and_cluster_work_with_tls() {
    let authority = Authority::new("The authority of Redis");
    let mut sentinel = SentinelSetup::start_with_tls(&authority).await;
    let cluster = RedisCluster::start_with_tls(&authority).await;
    for (url, is_sentinel) in
        [(sentinel.url(), true), (cluster.nodes[0].url(), false), (cluster.nodes[1].url(), false)]
    {
        let app = App::setup()
            .set("REDIS_URL", &url)
            .set("SSL_CERT_FILE", &authority.bundle().display().to_string())
            .start()
            .await;
        wait_for_mode(&app, "redis").await;
        let (_, session) = app.new_session("tls").await;
        app.log_out(&session).await.ok(200);
        assert_refused_everywhere(&app, &session.access).await;
        if is_sentinel {
            sentinel.servers[0].stop();
            sentinel.wait_for_primary(1).await;
            wait_for_mode(&app, "redis").await;
            assert_refused_everywhere(&app, &session.access).await;
        }
        let mut variables = app.variables.clone();
        variables.remove("SSL_CERT_FILE");
        let output = run_command(&["check"], &variables);
        let said = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
        assert!(!output.status.success() && said.contains("not trusted"), "{said}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let authority = Authority::new("Redis CA");
    let redis = Redis::start_with_client_certificates(&authority.issue(), &authority.bundle());
    let certificate = authority.issue();
    let ca = authority.bundle().display().to_string();
    let app = App::setup()
        .set("REDIS_URL", &redis.url())
        .set("SSL_CERT_FILE", &ca)
        .set("REDIS_CLIENT_CERT_FILE", &certificate.certificate.display().to_string())
        .set("REDIS_CLIENT_KEY_FILE", &certificate.key.display().to_string())
        .start()
        .await;
    wait_for_mode(&app, "redis").await;
    let mut variables = app.variables.clone();
    variables.remove("REDIS_CLIENT_CERT_FILE");
    let output = run_command(&["check"], &variables);
    assert!(
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).contains("REDIS_CLIENT_CERT_FILE")
    );
    variables.remove("REDIS_CLIENT_KEY_FILE");
    let output = run_command(&["check"], &variables);
    let said = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
    assert!(!output.status.success() && said.contains("requires a client certificate"), "{said}");
}
